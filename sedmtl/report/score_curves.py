"""The score curves (PSD-ROC) of each store's networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sedmtl.evaluation.rows import Row, ScoredData, by_data, names_of
from sedmtl.metrics.psds import Psds
from sedmtl.report import figures
from sedmtl.runtime import progress

Curves = Mapping[str, tuple[Sequence[Psds], Sequence[Psds]]]


def score_curves(rows: Sequence[Row]) -> Iterator[tuple[ScoredData, Curves]]:
    """The score curves of each store's networks.

    Yields:
        The scored data, and the curves of scenarios 1 and 2 by network name.
    """
    for data, group in by_data(row for row in rows if row.measured):
        curves = {
            name: ([m.psds1 for m in row.measured], [m.psds2 for m in row.measured])
            for name, row in zip(names_of(group), group, strict=True)
        }
        yield data, curves


def draw_score_curves(folder: Path, rows: Sequence[Row]) -> None:
    """Draw one figure per store: the score curves of its networks."""
    for data, curves in score_curves(rows):
        path = folder / f"psds_{data.file_name}.png"
        figures.save(figures.psd_roc(curves, data.title), path)
        progress.say(f"curves: {path}")
