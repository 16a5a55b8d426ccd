"""`sedmtl check`: damaged, outdated and unfinished stores and runs, and their remedies."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sedmtl.data.label_counts import table_of_classes
from sedmtl.features.targets import CLEAN
from sedmtl.inference.checkpoint import load_model
from sedmtl.inference.runs import is_finished, n_epochs_done, read_run
from sedmtl.models.heads import Sizes
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.folders import entries, is_file
from sedmtl.runtime.progress import progress
from sedmtl.store import Store, other_snr_db, read_scores, stores_in
from sedmtl.training.config import TrainConfig
from sedmtl.training.state import load_state, outdated_task
from sedmtl.training.tasks import build_tasks

BAD = ("damaged", "outdated", "unreadable")
"""States that need an action by the user."""

BLOCK = 32
"""Number of rows read at a time."""


@dataclass(frozen=True)
class Finding:
    """The state of a store or a run.

    Attributes:
        state: `whole`: intact. `unfinished`: can be resumed. `outdated`: its source, or the head of
            one of its tasks, has changed since. `damaged`: its content has changed since it was
            written. `unreadable`: the system refuses to read its folder.
        what: Its content, or the problem.
        remedy: The shell command that fixes it; empty if none is needed.
    """

    path: Path
    state: str
    what: str
    remedy: str = ""


def check(work_dir: Path) -> list[Finding]:
    """Read every store and run of a work folder completely; one finding each, in pipeline order.

    Raises:
        SedmtlError: There is no such folder, or it holds neither stores nor runs.
    """
    if not work_dir.is_dir():
        raise SedmtlError(f"no folder {work_dir}: expected the workdir of a data.yaml")
    mixtures = _StoreFolder(work_dir / "mixtures", "waveform", _mix)
    features = _StoreFolder(work_dir / "features", "logmel", _features)
    runs = [run for run in entries(work_dir / "runs") if _is_run(run)]
    findings = [
        *mixtures.check(_other_snr),
        *features.check(lambda store: _other_mixtures(store, mixtures)),
        *(_check_run(run, features) for run in runs),
    ]
    if not findings:
        raise SedmtlError(f"{work_dir} holds neither stores nor runs: 'sedmtl mix' makes the first")
    return findings


def _is_run(folder: Path) -> bool:
    """Whether a folder holds a run's first or last file; an unreadable folder counts as a run."""
    try:
        return any(is_file(folder / name) for name in ("run.yaml", "model.safetensors"))
    except SedmtlError:
        return True


class _StoreFolder:
    """A folder of stores; remembers the data hash of each."""

    def __init__(self, folder: Path, array: str, remake: Callable[[Path, Path], str]) -> None:
        self.data_hash: dict[str, str] = {}
        self._folder, self._array, self._remake = folder, array, remake

    def check(self, outdated: Callable[[Store], str]) -> Iterator[Finding]:
        """Read the stores of the folder; `outdated` returns why a store is outdated, or ''."""
        try:
            stores = stores_in(self._folder)
        except SedmtlError as error:
            yield Finding(self._folder, "unreadable", str(error))
            return
        for name, path in stores.items():
            try:
                yield self._check_store(name, path, outdated)
            except SedmtlError as error:
                # The command keeps a store with matching attributes, so remove the store first.
                remedy = f"rm {shlex.quote(str(path))} && {self._remake(path, path)}"
                yield Finding(path, "damaged", str(error), remedy)
        for part in sorted(self._folder.glob(".*.h5.part")):
            path = part.with_name(part.name[1:].removesuffix(".part"))
            yield Finding(path, "unfinished", "some of its rows", self._remake(path, part))

    def _check_store(self, name: str, path: Path, outdated: Callable[[Store], str]) -> Finding:
        with Store(path, self._array) as store:
            for array in store.arrays:
                _read_all(path, array)
            self.data_hash[name] = store.data_hash(self._array)
            rows = f" in {store.clips.n_rows:,} windows" if store.clips.windows else ""
            what = f"{len(store):,} clips{rows}, content {store.data_hash()[:12]}"
            why = outdated(store)
        if why:
            return Finding(path, "outdated", why, self._remake(path, path))
        return Finding(path, "whole", what)


def _mix(path: Path, held_in: Path) -> str:
    """The command that makes a mixture store, with stems and WAV files if there are any.

    `held_in` is the file with its rows, which differs from `path` while it is unfinished.
    """
    n_wavs = len(list(path.with_suffix("").glob("*.wav")))
    wavs = ["--wav", str(n_wavs)] if n_wavs else []
    stems, doubt = _stems(held_in, "waveform", "stems")
    return shlex.join(["sedmtl", "mix", *_snr(path), *stems, *wavs]) + doubt


def _features(path: Path, held_in: Path) -> str:
    """The command that makes a feature store, preceded by the one for missing mixtures."""
    features = shlex.join(["sedmtl", "features", *_snr(path)])
    if not _snr(path) or (path.parents[1] / "mixtures" / path.name).is_file():
        return features
    stems, doubt = _stems(held_in, "logmel", CLEAN)
    return f"{shlex.join(['sedmtl', 'mix', *_snr(path), *stems])} && {features}{doubt}"


def _stems(held_in: Path, array: str, of_stems: str) -> tuple[list[str], str]:
    """The option `--stems` if a store has `of_stems`; a remark if the store is unreadable."""
    try:
        with Store(held_in, array) as store:
            return ["--stems"] * (of_stems in store.arrays), ""
    except SedmtlError:
        return [], "  # and --stems, if it held them"


def _snr(path: Path) -> list[str]:
    """The option that selects a store; empty if it has no SNR."""
    return ["--snr", path.stem.removeprefix("snr_")] if path.stem.startswith("snr_") else []


def _read_all(path: Path, array: str) -> None:
    """Verify the checksum of every row."""
    what = f"reading {path.parent.name}/{path.name}, {array}"
    with Store(path, array) as store, progress(what, store.clips.n_rows) as advance:
        for first in range(0, store.clips.n_rows, BLOCK):
            rows = range(first, min(first + BLOCK, store.clips.n_rows))
            store.read(rows)
            advance(len(rows))


def _other_snr(store: Store) -> str:
    """Why a mixture store is outdated: its SNR contradicts its name; '' if it is not."""
    snr_db = other_snr_db(store.path, store.attributes)
    return "" if snr_db is None else f"holds mixtures at {snr_db:g} dB"


def _other_mixtures(store: Store, mixtures: _StoreFolder) -> str:
    """Why a feature store is outdated: its mixtures have changed; '' if it is not."""
    now = mixtures.data_hash.get(store.path.stem)
    if now is None or now == store.attributes["source"]:
        return ""
    return "made from other mixtures than the current ones"


def _check_run(run: Path, features: _StoreFolder) -> Finding:
    settings: Mapping[str, Any] = {}
    try:
        entries(run)
    except SedmtlError as error:
        return Finding(run, "unreadable", str(error))
    try:
        settings = read_run(run)
        if is_finished(run):
            card, _ = load_model(run)
            what = f"{card.model}, nothing held out"
            if settings["fold"]:
                n_held_out = len(read_scores(run / "scores.h5").name)
                what = f"{card.model}, fold {settings['fold']}, {n_held_out:,} clips held out"
        elif (run / "last.pt").is_file():
            load_state(run)
    except SedmtlError as error:
        return Finding(run, "damaged", str(error), _train(run, settings, "--force"))
    now = features.data_hash.get(settings["data"])
    if now is not None and now != settings.get("store_digest"):
        what = f"trained on other features than the current {settings['data']}.h5"
        return Finding(run, "outdated", what, _train(run, settings, "--force"))
    if is_finished(run):
        return Finding(run, "whole", what)
    early = None if now is None else _outdated_task(run, settings)
    if early is not None:
        what = f"its head of --task {early} is of an earlier version of sedmtl"
        return Finding(run, "outdated", what, _train(run, settings, "--force"))
    what = f"epoch {n_epochs_done(run)} of {settings['epochs']}"
    return Finding(run, "unfinished", what, _train(run, settings, "--resume"))


def _outdated_task(run: Path, settings: Mapping[str, Any]) -> str | None:
    """The task whose head prevents an unfinished run from resuming; None if there is none."""
    config = TrainConfig.of(settings)
    if not config.tasks or not (run / "last.pt").is_file():
        return None
    with Store(run.parents[1] / "features" / f"{config.data}.h5", "logmel") as store:
        n_frames, n_mels = store.row_shape
        scenes = tuple(settings.get("scenes", ()))
        sizes = Sizes(len(store.classes), n_frames, n_mels, scenes)
    with torch.device("meta"):
        tasks = build_tasks(config.tasks, config.network, sizes)
    return outdated_task(load_state(run), tasks)


def _train(run: Path, settings: Mapping[str, Any], how: str) -> str:
    """The command that trains a run, with '…' for unreadable options."""
    options = shlex.join(TrainConfig.of(settings).words()) if settings else "…"
    return f"sedmtl train {options} --name {shlex.quote(run.name)} {how}"


def table(findings: Sequence[Finding], work_dir: Path) -> list[str]:
    """One line per finding, with the path relative to the work folder, then its remedy."""
    lines = []
    for finding in findings:
        path = str(finding.path.relative_to(work_dir))
        lines.append(f"{finding.state:<10}  {path}: {finding.what}")
        if finding.remedy:
            lines.append(f"{'':<10}  to do: {finding.remedy}")
    return lines


def recordings(findings: Sequence[Finding], work_dir: Path) -> list[str]:
    """Table of classes and folds of the custom recordings, if their store is whole."""
    path = work_dir / "features" / "clips.h5"
    if not any(finding.path == path and finding.state == "whole" for finding in findings):
        return []
    with Store(path, "logmel") as store:
        windows = store.clips.windows
        lengths_s = None if windows is None else windows.duration_s.tolist()
        return ["", *table_of_classes(store.clips, store.classes, lengths_s)]


def judge(findings: Sequence[Finding]) -> None:
    """Raise a `SedmtlError` if anything needs an action."""
    counts = Counter(finding.state for finding in findings)
    bad = [f"{counts[state]} {state}" for state in BAD if counts[state]]
    if bad:
        raise SedmtlError(f"{' and '.join(bad)} of {len(findings)}: see above for what to do")
