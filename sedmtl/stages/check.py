"""`sedmtl check`: a work folder -> what in it is whole, and what to do about the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sedmtl.checkpoint import is_finished, load_model, read_run
from sedmtl.errors import SedmtlError
from sedmtl.grid.forecast import n_epochs_done
from sedmtl.progress import progress
from sedmtl.stores import Store, read_scores, stores_in

BLOCK = 32
"""Rows that are read at a time."""


@dataclass(frozen=True)
class Finding:
    """What was found of a store or a run.

    Attributes:
        state: `whole`: as it was written. `unfinished`: to be gone on with. `outdated`: made from
            something that has changed since. `damaged`: not what was written.
        what: What it holds, or what is wrong with it.
        remedy: The command to run; nothing where nothing is to be done.
    """

    path: Path
    state: str
    what: str
    remedy: str = ""


def check(work_dir: Path) -> list[Finding]:
    """Read every store and run of a work folder to the last byte.

    Returns:
        What was found, in the order in which the stages make it.

    Raises:
        SedmtlError: There is no such folder, or neither store nor run in it.
    """
    if not work_dir.is_dir():
        raise SedmtlError(f"no folder {work_dir}: expected the work_dir of a data.yaml")
    mixtures = _Shelf(work_dir / "mixtures", "waveform", "sedmtl mix")
    features = _Shelf(work_dir / "features", "logmel", "sedmtl features")
    findings = [
        *mixtures.check(lambda _: ""),
        *features.check(lambda store: _other_mixtures(store, mixtures)),
        *_check_runs(work_dir / "runs", features),
    ]
    if not findings:
        raise SedmtlError(f"{work_dir} holds neither stores nor runs: 'sedmtl mix' makes the first")
    return findings


class _Shelf:
    """A folder of stores; remembers what each was found to hold."""

    def __init__(self, folder: Path, array: str, made_by: str) -> None:
        self.content: dict[str, str] = {}
        self._folder, self._array, self._made_by = folder, array, made_by

    def check(self, outdated: Callable[[Store], str]) -> Iterator[Finding]:
        """Read the stores of the folder; `outdated` says what one has been overtaken by."""
        for name, path in stores_in(self._folder).items():
            try:
                yield self._check_store(name, path, outdated)
            except SedmtlError as error:
                yield Finding(path, "damaged", str(error), self._remedy(name))
        for part in sorted(self._folder.glob(".*.h5.part")):
            path = part.with_name(part.name[1:].removesuffix(".part"))
            yield Finding(path, "unfinished", "some of its rows", self._remedy(path.stem))

    def _check_store(self, name: str, path: Path, outdated: Callable[[Store], str]) -> Finding:
        with Store(path, self._array, self._made_by) as store:
            for array in store.arrays:
                _read_all(path, array, self._made_by)
            self.content[name] = store.content
            why = outdated(store)
            what = why or f"{len(store):,} clips, content {store.content[:12]}"
        return Finding(path, *(("outdated", what, self._remedy(name)) if why else ("whole", what)))

    def _remedy(self, name: str) -> str:
        snr = f" --snr {name.removeprefix('snr_')}" if name.startswith("snr_") else ""
        return f"{self._made_by}{snr}"


def _read_all(path: Path, array: str, made_by: str) -> None:
    """Compare every row with its digest."""
    what = f"reading {path.parent.name}/{path.name}, {array}"
    with Store(path, array, made_by) as store, progress(what, len(store)) as advance:
        for first in range(0, len(store), BLOCK):
            rows = range(first, min(first + BLOCK, len(store)))
            store.read(rows)
            advance(len(rows))


def _other_mixtures(store: Store, mixtures: _Shelf) -> str:
    """Of features: whether their mixtures are there and are not those they were made from."""
    now = mixtures.content.get(store.path.stem)
    if now is None or now == store.attributes["source"]:
        return ""
    return "made from other mixtures than those that are there now"


def _check_runs(runs_dir: Path, features: _Shelf) -> Iterator[Finding]:
    for run in sorted(path.parent for path in runs_dir.glob("*/run.yaml")):
        again = "sedmtl train … --force"
        try:
            settings = read_run(run)
            if not is_finished(run):
                what = f"epoch {n_epochs_done(run)} of {settings['epochs']}"
                yield Finding(run, "unfinished", what, "sedmtl train … --resume")
                continue
            card, _ = load_model(run)
            scores = read_scores(run / "scores.h5")
        except SedmtlError as error:
            yield Finding(run, "damaged", str(error), again)
            continue
        now = features.content.get(settings["data"])
        if now is not None and now != settings.get("store_digest"):
            what = f"trained on other features than those in {settings['data']}.h5 now"
            yield Finding(run, "outdated", what, again)
        else:
            what = f"{card.model}, fold {settings['fold']}, {len(scores.name):,} clips held out"
            yield Finding(run, "whole", what)


def table(findings: Sequence[Finding], work_dir: Path) -> str:
    """A line for each, its path from the work folder; below it what to do, if anything."""
    lines = []
    for finding in findings:
        path = str(finding.path.relative_to(work_dir))
        lines.append(f"{finding.state:<10}  {path}: {finding.what}")
        if finding.remedy:
            lines.append(f"{'':<10}  to do: {finding.remedy}")
    return "\n".join(lines)


def judge(findings: Sequence[Finding]) -> None:
    """Complain if anything must be made again.

    Raises:
        SedmtlError: Something is damaged or outdated.
    """
    counts = Counter(finding.state for finding in findings)
    bad = [f"{counts[state]} {state}" for state in ("damaged", "outdated") if counts[state]]
    if bad:
        raise SedmtlError(f"{' and '.join(bad)} of {len(findings)}: what to do is said above")
