"""Learning curves: loss, and micro-P on inner validation and the held-out fold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from sedmtl.report.figures.view import Tick, round_ticks
from sedmtl.report.project.networks import Network, Record

Points = Sequence[tuple[float, float]]


class Line(NamedTuple):
    """A curve; its `kind` determines its style."""

    kind: str
    points: Points


@dataclass(frozen=True)
class Chart:
    """A chart of one network, with one line per run and kind, in units of about a pixel."""

    title: str
    text: str
    lines: Sequence[Line]
    dots: Points
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]

    width: ClassVar = 340
    height: ClassVar = 172
    left: ClassVar = 42
    right: ClassVar = 332
    top: ClassVar = 10
    bottom: ClassVar = 150


def charts_of(network: Network) -> list[Chart]:
    """Charts of the loss, micro-P (with the chosen epochs) and task weights; none without records.

    Epochs whose value is not finite are left out of the line.
    """
    runs = [records for records in network.records if records]
    if not runs:
        return []
    kinds = ("loss", "validation", "held_out")
    loss, validation, held_out = ([_line(kind, records) for records in runs] for kind in kinds)
    chosen = [
        (epoch, value)
        for best, line in zip(network.row.epochs, validation, strict=False)
        for epoch, value in line.points
        if epoch == best
    ]
    return [
        _chart("training loss", loss, [], None),
        _chart("micro-P", [*validation, *held_out], chosen, (0.0, 1.0)),
        *_weights(runs),
    ]


def _weights(runs: Sequence[Sequence[Record]]) -> Iterator[Chart]:
    """Charts of the auxiliary task weights that change."""
    keys = [key for key in runs[0][0] if key == "alpha" or key.endswith("_alpha")]
    for key in keys:
        values = [[record.get(key, math.nan) for record in records] for records in runs]
        if any(len(set(each)) > 1 for each in values):
            task = key.removesuffix("alpha").removesuffix("_") or "reconstruct"
            lines = [_points("weight", *pair) for pair in zip(runs, values, strict=True)]
            yield _chart(f"weight of {task}", lines, [], None)


def _line(kind: str, records: Sequence[Record]) -> Line:
    """Finite values of a run by epoch."""
    values = [record["loss"] if kind == "loss" else record[kind]["micro_p"] for record in records]
    return _points(kind, records, values)


def _points(kind: str, records: Sequence[Record], values: Sequence[float]) -> Line:
    return Line(kind, [
        (int(record["epoch"]), float(value))
        for record, value in zip(records, values, strict=True)
        if math.isfinite(value)
    ])  # fmt: skip


def _chart(
    title: str, lines: Sequence[Line], chosen: Points, limits: tuple[float, float] | None
) -> Chart:
    values = [value for line in lines for _, value in line.points]
    low, high = limits or (min(values, default=0.0), max(values, default=1.0))
    y_ticks = round_ticks(low, high, 5)
    low, high = min(low, y_ticks[0]), max(high, y_ticks[-1])
    last = max((epoch for line in lines for epoch, _ in line.points), default=1)

    def x(epoch: float) -> float:
        return round(Chart.left + (Chart.right - Chart.left) * (epoch - 1) / max(last - 1, 1), 1)

    def y(value: float) -> float:
        return round(Chart.bottom - (Chart.bottom - Chart.top) * (value - low) / (high - low), 1)

    epochs = [tick for tick in round_ticks(1, last, 6) if 1 <= tick <= last and tick % 1 == 0]
    return Chart(
        title=title,
        text=f"{title} over {last} epochs: {'; '.join(_ends(lines))}",
        lines=[Line(line.kind, [(x(e), y(v)) for e, v in line.points]) for line in lines],
        dots=[(x(epoch), y(value)) for epoch, value in chosen],
        x_ticks=[Tick(x(epoch), f"{epoch:g}") for epoch in epochs or [1]],
        y_ticks=[Tick(y(value), f"{value:g}") for value in y_ticks],
    )


def _ends(lines: Sequence[Line]) -> Iterator[str]:
    """Describe the lines in words: their means over runs at both ends."""
    for kind in dict.fromkeys(line.kind for line in lines):
        points = [line.points for line in lines if line.kind == kind and line.points]
        if points:
            first, last = (np.mean([each[end][1] for each in points]) for end in (0, -1))
            yield f"{kind.replace('_', '-')} from {first:.3f} to {last:.3f}"
