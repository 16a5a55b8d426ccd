"""`sedmtl predict`: audio files and folders -> events, as tables and as files of other tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import sedmtl
from sedmtl.config import Config
from sedmtl.inference.checkpoint import ModelCard, find_run, load_card
from sedmtl.inference.exporters import FORMATS, Recording, tag_text, tsv_text
from sedmtl.inference.journal import Entry, Journal
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.inference.predictor import Finder, digest_of, open_finder
from sedmtl.inference.recordings import seconds_of, tags_of
from sedmtl.inference.sources import Source, files_about, find_sources
from sedmtl.runtime import progress
from sedmtl.runtime.atomic import remove_file, write_text
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.lock import folder_lock
from sedmtl.runtime.origin import Stamp

Result = Entry | SedmtlError


@dataclass(frozen=True)
class PredictOptions:
    """What the command line says.

    Attributes:
        run_name: By default the newest finished run.
        out_dir: By default `work/predictions`.
        formats: In which each recording gets a file of its own: names in `labels.FORMATS`.
        tags: Whether to write which classes each recording holds, too.
        threshold: Of all classes, in place of the run's; None: the run's. So `low`, the share of
            it above which an event goes on, and the lengths.
        batch_size: Windows at a time.
        n_gpus: 1 or 0; by default one if there is one.
        n_workers: Recordings that are read at once.
        scheduler: Of a Dask cluster, whose workers take a recording each.
    """

    run_name: str | None
    out_dir: Path | None
    formats: Sequence[str]
    tags: bool
    threshold: float | None
    low: float | None
    median_s: float | None
    gap_s: float | None
    min_duration_s: float | None
    batch_size: int
    n_gpus: int | None
    n_workers: int
    scheduler: str | None = None

    def adjust(self, settings: PostProcessing) -> PostProcessing:
        """The post-processing of a run, but for what is said here."""
        names = ("low", "median_s", "gap_s", "min_duration_s")
        asked: dict[str, Any] = {name: getattr(self, name) for name in names}
        if self.threshold is not None:
            asked["threshold"] = (self.threshold,) * len(settings.threshold)
        return replace(settings, **{k: value for k, value in asked.items() if value is not None})


@dataclass(frozen=True)
class Outcome:
    """What to show: all events as a TSV, and the error to end with if recordings have failed."""

    table: str
    error: SedmtlError | None


def predict(config: Config, paths: Sequence[Path], options: PredictOptions) -> Outcome:
    """Find the events of every recording, but of those that an earlier attempt has done.

    Args:
        config: Of the project; says where runs and predictions are.
        paths: Files and folders.
        options: The rest.

    Raises:
        SedmtlError: There is no run, nothing can be written, or the only recording is broken.
    """
    run = find_run(config.work_dir / "runs", options.run_name)
    card = load_card(run)
    progress.say(f"run {run.name}{_doubt(card)}")
    settings = options.adjust(card.postprocessing)
    sources = find_sources(paths)
    out_dir = options.out_dir or config.work_dir / "predictions"
    files = {name: files_about(sources, out_dir, FORMATS[name].suffix) for name in options.formats}
    with (
        folder_lock(out_dir, "sedmtl predict"),
        open_finder(
            run,
            settings,
            options.batch_size,
            options.n_gpus,
            options.n_workers,
            options.scheduler,
        ) as finder,
        Journal(out_dir / "journal.jsonl", _basis(run, settings)) as journal,
    ):
        if journal.changed:
            changed = ", ".join(journal.changed)
            progress.say(f"{journal.path} is of another {changed}: every recording is done anew")
        results = _find(finder, card, sources, journal)
        errors = [result for result in results if isinstance(result, SedmtlError)]
        if errors and len(results) == 1:
            raise errors[0]
        recordings = {
            number: _recording(sources[number].name, result, card, options.tags)
            for number, result in enumerate(results)
            if isinstance(result, Entry)
        }
        table = _write(out_dir, recordings, files, options.tags)
    return Outcome(table, _tell_errors(errors, len(results)))


def _doubt(card: ModelCard) -> str:
    """What to know of a network whose frame scores need not be presences."""
    if card.network.frame_meaning != "signed":
        return ""
    return (
        ": its dense second step tells which sounds, not when (docs/localisation.md); a run of "
        "'sedmtl train --time-attention local' does"
    )


def _basis(run: Path, settings: PostProcessing) -> dict[str, Any]:
    """What decides the results, by what it is called where it has changed."""
    return {
        "run": run.name,
        "network": digest_of(run),
        "post-processing": asdict(settings),
        "version of sedmtl": sedmtl.__version__,
    }


def _find(
    finder: Finder, card: ModelCard, sources: Sequence[Source], journal: Journal
) -> list[Result]:
    """What was found in each recording, now or by an earlier attempt, or why it is broken."""
    results: dict[Path, Result] = {
        source.path: entry for source in sources if (entry := journal.find(source.path))
    }
    if results:
        progress.say(f"{len(results)} of {len(sources)} recordings were done before")
    todo = [source.path for source in sources if source.path not in results]
    stamps = [Stamp.of(path) for path in todo]
    with (
        progress.progress("predicting, seconds of audio", seconds_of(todo)) as advance,
        closing(finder(todo, advance=advance)) as findings,
    ):
        for number, found in findings:
            if isinstance(found, SedmtlError):
                results[todo[number]] = found
                continue
            tags = tags_of(card, found.clip)
            entry = Entry(stamps[number], found.duration_s, found.events, tags)
            journal.add(todo[number], entry)
            results[todo[number]] = entry
    return [results[source.path] for source in sources]


def _recording(name: str, entry: Entry, card: ModelCard, tags: bool) -> Recording:
    band_hz = (card.features["f_min"], card.features["f_max"])
    return Recording(name, entry.duration_s, band_hz, entry.events, entry.tags if tags else None)


def _write(
    out_dir: Path,
    recordings: Mapping[int, Recording],
    files: Mapping[str, Sequence[Path]],
    tags: bool,
) -> str:
    """Write the tables and the files of the recordings; returns the table of all events.

    Of recordings that have failed, no file of an earlier attempt stays: the tables lack them, too.
    """
    if tags:
        write_text(out_dir / "tags.tsv", tag_text(*recordings.values()))
    table = tsv_text(*recordings.values())
    write_text(out_dir / "events.tsv", table)
    failed = []
    for name, paths in files.items():
        for number, path in enumerate(paths):
            try:
                if number in recordings:
                    write_text(path, FORMATS[name].text(recordings[number]))
                else:
                    remove_file(path)
            except SedmtlError as error:  # its name may be too long; the others have theirs
                failed.append(error)
    progress.say(f"written into {out_dir}")
    if failed:
        more = f" (and {len(failed) - 1} more files)" if failed[1:] else ""
        raise SedmtlError(f"{failed[0]}{more}; all else is written")
    return table


def _tell_errors(errors: Sequence[SedmtlError], n_recordings: int) -> SedmtlError | None:
    for error in errors:
        progress.say(str(error))
    if not errors:
        return None
    return SedmtlError(
        f"{len(errors)} of {n_recordings} recordings cannot be used, for the reasons above; the "
        "others are done"
    )
