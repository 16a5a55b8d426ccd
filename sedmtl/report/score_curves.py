"""The score curves (PSD-ROC) of each store's networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from sedmtl.evaluation.aggregate import Row
from sedmtl.evaluation.tables import names_of, title_of
from sedmtl.metrics.psds import Psds
from sedmtl.report import figures
from sedmtl.runtime import progress

Curves = Mapping[str, tuple[Sequence[Psds], Sequence[Psds]]]


def score_curves(rows: Sequence[Row]) -> Iterator[tuple[Row, Curves]]:
    """The score curves of each store's networks, as `plots.psd_roc` draws them.

    Yields:
        A row of the store, and the curves of scenarios 1 and 2 by the network's name.
    """
    measured = [row for row in rows if row.measured]
    for _, group in groupby(measured, key=title_of):
        of_store = list(group)
        curves = {
            name: ([m.psds1 for m in row.measured], [m.psds2 for m in row.measured])
            for name, row in zip(names_of(of_store), of_store, strict=True)
        }
        yield of_store[0], curves


def draw_score_curves(folder: Path, rows: Sequence[Row]) -> None:
    """A picture a store: the score curves of its networks."""
    for first, curves in score_curves(rows):
        moved = f"_on_{first.onsets or 'another'}" if first.on else ""
        path = folder / f"psds_{first.recipe['data']}{moved}.png"
        figures.save(figures.psd_roc(curves, title_of(first)), path)
        progress.say(f"curves: {path}")
