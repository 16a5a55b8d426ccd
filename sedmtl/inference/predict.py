"""`sedmtl predict`: audio files and folders -> events, as tables and in formats of other tools."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import sedmtl
from sedmtl.config import Config
from sedmtl.data import audio
from sedmtl.inference.checkpoint import check_encoder_is_used, load_card
from sedmtl.inference.detector import Detector
from sedmtl.inference.exporters import FORMATS, tag_text, tsv_text
from sedmtl.inference.identity import digest_of
from sedmtl.inference.journal import Journal
from sedmtl.inference.model_card import ModelCard, check_classes
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.inference.predict_options import PredictOptions
from sedmtl.inference.prediction import Prediction
from sedmtl.inference.remote import predict_remotely
from sedmtl.inference.runs import find_run
from sedmtl.inference.snippets import write_snippets
from sedmtl.inference.sources import Source, files_about, find_sources
from sedmtl.inference.summary import summary
from sedmtl.runtime import progress
from sedmtl.runtime.devices import choose_device
from sedmtl.runtime.errors import SedmtlError, all_but
from sedmtl.runtime.lock import folder_lock
from sedmtl.runtime.origin import Stamp
from sedmtl.runtime.outputs import Outputs
from sedmtl.runtime.workers.cluster import open_workers

Result = Prediction | SedmtlError
PredictMany = Callable[..., Generator[tuple[int, Result], None, None]]
"""`Detector.predict_many`, local or on a cluster; takes paths and `advance`."""


@dataclass(frozen=True)
class PredictResult:
    """The result of a batch.

    Attributes:
        table: All events as TSV.
        summary: Lines for the user.
        error: Error to end with if recordings have failed.
    """

    table: str
    summary: Sequence[str]
    error: SedmtlError | None


def predict(config: Config, paths: Sequence[Path], options: PredictOptions) -> PredictResult:
    """Find the events of all recordings in files and folders, resuming an interrupted batch.

    Raises:
        SedmtlError: There is no recording or run, output cannot be written or would overwrite a
            user's file, or the only recording is broken.
    """
    sources = find_sources(paths)
    run = find_run(config.work_dir / "runs", options.run_name)
    card = load_card(run)
    check_encoder_is_used({run.name: card}, options.encoder or config.given_encoder)
    options = replace(options, encoder=options.encoder or config.encoder_path)
    progress.say(f"run {run.name}{_doubt(card)}")
    options.warn_of_other_thresholds(run)
    settings = options.settings_of(card)
    classes = check_classes(options.classes, card.classes) or card.classes
    out_dir = options.out_dir or config.work_dir / "predictions"
    plan = _Plan.of(sources, out_dir, options)
    with folder_lock(out_dir, "sedmtl predict"):
        outputs = Outputs(out_dir, force=options.force)
        outputs.check(plan.paths)
        results = find_events(run, settings, plan.sources, plan.journal, options)
        errors = [result for result in results if isinstance(result, SedmtlError)]
        if errors and len(results) == 1:
            raise errors[0]
        band_hz = (card.features["f_min"], card.features["f_max"])
        predictions = {
            number: replace(
                result,
                filename=plan.sources[number].name,
                band_hz=band_hz,
                events=[event for event in result.events if event.label in classes],
                tags=[tag for tag in result.tags or () if tag[0] in classes] if plan.tags else None,
            )
            for number, result in enumerate(results)
            if isinstance(result, Prediction)
        }
        table = _write(outputs, plan, predictions)
        if options.snippets is not None:
            found = [(plan.sources[number].path, each) for number, each in predictions.items()]
            write_snippets(outputs, found, options.snippets)
    lines = summary(list(predictions.values()))
    return PredictResult(table, lines, _report_errors(errors, len(results)))


def find_events(
    run: Path,
    settings: PostProcessing,
    sources: Sequence[Source],
    journal_path: Path,
    options: PredictOptions,
) -> list[Result]:
    """The prediction or error of each recording, taken from the journal if it is there.

    Only the computing options (batch size, workers, devices, encoder) are used.

    Raises:
        SedmtlError: The journal or network cannot be read, or the journal cannot be written.
    """
    with Journal(journal_path, _basis(run, settings)) as journal:
        if journal.changed:
            changed = ", ".join(journal.changed)
            progress.say(
                f"{journal.path} is for another {changed}: all recordings are processed again"
            )
        with _open_predictor(run, settings, options) as predict_many:
            return _find(predict_many, sources, journal)


@dataclass(frozen=True)
class _Plan:
    """The recordings and output files of a batch.

    Attributes:
        tags: Path of the table of tags; None if not requested.
        files: Files by suffix, one per recording.
    """

    sources: Sequence[Source]
    journal: Path
    events: Path
    tags: Path | None
    files: Mapping[str, Sequence[Path]]

    @classmethod
    def of(cls, sources: Sequence[Source], out_dir: Path, options: PredictOptions) -> _Plan:
        journal, events = out_dir / "journal.jsonl", out_dir / "events.tsv"
        tags = out_dir / "tags.tsv"
        suffixes = [FORMATS[name].suffix for name in options.formats]
        files = files_about(sources, out_dir, suffixes, [journal, events, tags])
        return cls(sources, journal, events, tags if options.tags else None, files)

    @property
    def paths(self) -> list[Path]:
        """All output files."""
        tables = [self.events, *([self.tags] if self.tags else [])]
        return [*tables, *chain.from_iterable(self.files.values())]


@contextmanager
def _open_predictor(
    run: Path, settings: PostProcessing, options: PredictOptions
) -> Iterator[PredictMany]:
    """Load the network of a run, locally or on a cluster."""
    how: dict[str, Any] = {"settings": settings, "batch_size": options.batch_size}
    if options.scheduler is None:
        device = choose_device(options.n_gpus)
        detector = Detector.load(run, device, encoder=options.encoder)
        yield partial(detector.predict_many, n_workers=options.n_workers, **how)
        return
    with open_workers(options.n_workers, options.scheduler) as workers:
        yield partial(predict_remotely, workers, run, options.n_gpus, options.encoder, **how)


def _doubt(card: ModelCard) -> str:
    """A caution about networks whose frame scores need not be presences."""
    if card.network.frame_meaning != "signed":
        return ""
    return (
        ": its dense second step tells which sounds occur, not when (docs/localisation.md); "
        "'sedmtl train --time-attention local' trains one that does"
    )


def _basis(run: Path, settings: PostProcessing) -> dict[str, Any]:
    """Values that determine the results, by display name."""
    return {
        "run": run.name,
        "network": digest_of(run),
        "post-processing": asdict(settings),
        "version of sedmtl": sedmtl.__version__,
    }


def _find(predict_many: PredictMany, sources: Sequence[Source], journal: Journal) -> list[Result]:
    """The prediction or error of each recording, from the journal or computed now."""
    results: dict[Path, Result] = {
        source.path: found for source in sources if (found := journal.find(source.path))
    }
    if results:
        progress.say(f"{len(results)} of {len(sources)} recordings are already done")
    todo = [source.path for source in sources if source.path not in results]
    stamps = [Stamp.of(path) for path in todo]
    with (
        progress.progress("predicting", seconds_of(todo), unit="seconds of audio") as advance,
        closing(predict_many(todo, advance=advance)) as predictions,
    ):
        for number, result in predictions:
            path, stamp = todo[number], stamps[number]
            # A deleted file was still read consistently through its open handle.
            if isinstance(result, Prediction) and path.exists() and Stamp.of(path) != stamp:
                result = SedmtlError(f"{path} was changed while it was read: predict it again")
            if isinstance(result, Prediction):
                journal.add(path, stamp, result)
            results[path] = result
    return [results[source.path] for source in sources]


def seconds_of(paths: Sequence[Path]) -> int:
    """Total seconds of audio in files, from their headers; unreadable files count as 0."""
    infos = audio.probe_each(paths)
    return int(sum(info.duration_s for info in infos if isinstance(info, audio.AudioInfo)))


def _write(outputs: Outputs, plan: _Plan, predictions: Mapping[int, Prediction]) -> str:
    """Write the tables and the files of recordings; returns the table of all events.

    Files of failed recordings from earlier attempts are removed, as the tables lack them too.
    """
    if plan.tags:
        outputs.write(plan.tags, tag_text(*predictions.values()))
    table = tsv_text(*predictions.values())
    outputs.write(plan.events, table)
    failed = []
    for format_ in FORMATS.values():
        for number, path in enumerate(plan.files.get(format_.suffix, ())):
            try:
                if number in predictions:
                    outputs.write(path, format_.text(predictions[number]))
                else:
                    outputs.remove(path)
            except SedmtlError as error:  # e.g. a name that is too long; write the others
                failed.append(error)
    progress.say(f"written into {outputs.folder}")
    if failed:
        raise all_but(failed, "file")
    return table


def _report_errors(errors: Sequence[SedmtlError], n_recordings: int) -> SedmtlError | None:
    for error in errors:
        progress.say(str(error))
    if not errors:
        return None
    return SedmtlError(
        f"{len(errors)} of {n_recordings} recordings cannot be used, for the reasons above; the "
        "others are done"
    )
