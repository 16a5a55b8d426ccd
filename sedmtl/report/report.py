"""`sedmtl report`: one page about all finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sedmtl.config import Config
from sedmtl.evaluation.evaluate import average, score_runs, unfinished_runs
from sedmtl.evaluation.rows import Row, names_of
from sedmtl.report.project.clips import Pick, Recording
from sedmtl.report.project.networks import Network, Record
from sedmtl.report.project.page import Report, report_page
from sedmtl.report.score_curves import score_curves
from sedmtl.runtime import progress
from sedmtl.runtime.atomic import make_folder, write_text
from sedmtl.runtime.documents import parse_json
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import Store

Stored = npt.NDArray[np.float32]


def report(config: Config, names: Sequence[str], out_path: Path | None = None) -> Path:
    """Write the page.

    Args:
        config: The project.
        names: Names of runs; by default all finished ones.
        out_path: By default `work/report.html`.

    Returns:
        The path of the page.

    Raises:
        SedmtlError: A run does not exist or is not finished, there are no runs, or the page cannot
            be written.
    """
    path, runs_dir = out_path or config.work_dir / "report.html", config.work_dir / "runs"
    if path.is_dir():
        raise SedmtlError(f"cannot write {path}: it is a folder; name a file")
    rows = average(score_runs(runs_dir, names))
    make_folder(path.parent)
    with progress.progress("drawing the report", 1) as advance:
        made = Report(
            title=f"Report on {config.work_dir.resolve().parent.name}",
            rows=rows,
            networks=_networks([row for row in rows if row.is_validated]),
            curves={data.title: curves for data, curves in score_curves(rows)},
            unfinished=[] if names else unfinished_runs(runs_dir),
            fetch=lambda network, picks: _fetch(config, network, picks),
        )
        text = report_page(made)
        advance(1)
    write_text(path, text)
    return path


def _networks(rows: Sequence[Row]) -> list[Network]:
    return [
        Network(name, row, [_records(run.folder) for run in row.runs])
        for row, name in zip(rows, names_of(rows), strict=True)
    ]


def _records(folder: Path) -> list[Record]:
    """The epochs of a run; empty if its records are missing or damaged."""
    try:
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        records = [parse_json(line) for line in lines]
    except (OSError, ValueError):
        return []
    return records if all(map(_is_record, records)) else []


def _is_record(record: Any) -> bool:
    """Whether it has the values of an epoch that the page shows."""
    if not isinstance(record, dict) or not isinstance(record.get("epoch"), int):
        return False
    scores = [record.get(part) for part in ("validation", "held_out")]
    numbers = [record.get("loss"), record.get("seconds", 0)]
    numbers += [part.get("micro_p") if isinstance(part, dict) else None for part in scores]
    return all(isinstance(number, int | float) for number in numbers)


def _fetch(config: Config, network: Network, picks: Sequence[Pick]) -> list[Recording]:
    """Read the log-mels and waveforms of clips, as far as the stores still have them."""
    run = network.runs[0]
    card, name = run.card, f"{run.data.store}.h5"
    features, mixtures = (config.work_dir / kind / name for kind in ("features", "mixtures"))
    shape = (card.n_frames, card.n_mels)
    missing = []
    logmels: list[Stored | None] = [None] * len(picks)
    waveforms: list[Stored | None] = [None] * len(picks)
    try:
        logmels = _read(features, "logmel", shape, network, picks)
    except SedmtlError as error:
        missing.append(f"No log-mel: {error}.")
    try:
        if run.snr_db is None:
            raise SedmtlError("only mixture stores keep audio")
        waveforms = _read(mixtures, "waveform", (card.n_samples,), network, picks)
    except SedmtlError as error:
        missing.append(f"No audio: {error}.")
    return [
        Recording(_standardised(logmel, network, pick), waveform, missing)
        for pick, logmel, waveform in zip(picks, logmels, waveforms, strict=True)
    ]


def _read(
    path: Path,
    array: str,
    shape: tuple[int, ...],
    network: Network,
    picks: Sequence[Pick],
) -> list[Stored | None]:
    """The rows of clips in a store.

    Raises:
        SedmtlError: The store is missing, or is not the one that was scored.
    """
    with Store(path, array) as store:
        row_of = {name: row for row, name in enumerate(store.clips.name)}
        rows = []
        for pick in picks:
            scores = network.runs[pick.run].scores
            row = row_of.get(scores.name[pick.row], -1)
            same = (
                row >= 0
                and store.row_shape == shape
                and list(store.classes) == list(scores.classes)
                and np.array_equal(store.clips.target[row], scores.target[pick.row])
                and store.clips.events.of_clip(row, store.classes)
                == scores.events.of_clip(pick.row, scores.classes)
            )
            if not same:
                raise SedmtlError(f"{path} has been rebuilt with other clips")
            rows.append(row)
        read = store.read if array == "logmel" else store.read_audio
        return list(read(np.array(rows, np.int64)))


def _standardised(
    logmel: Stored | None, network: Network, pick: Pick
) -> npt.NDArray[np.float32] | None:
    """Standardise a log-mel as for the network."""
    if logmel is None:
        return None
    card = network.runs[pick.run].card
    mean, std = np.array(card.mean, np.float32), np.array(card.std, np.float32)
    standardised: npt.NDArray[np.float32] = (logmel - mean) / std
    return standardised
