"""Learning curves: loss, and micro-P on inner validation and the held-out fold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sedmtl.report.project.networks import Network, Record


class Frame(NamedTuple):
    """Size of a chart and position of its axes, in units of about a pixel."""

    width: int = 340
    height: int = 172
    left: int = 42
    right: int = 332
    top: int = 10
    bottom: int = 150


FRAME = Frame()


class Tick(NamedTuple):
    """A labelled position on an axis, in units of the chart."""

    place: float
    text: str


class Line(NamedTuple):
    """A curve: `points` in SVG's format; `kind` determines its style."""

    kind: str
    points: str


class Dot(NamedTuple):
    """A marked point."""

    x: float
    y: float


class Chart(NamedTuple):
    """A chart of one network, with one line per run and kind."""

    title: str
    text: str
    lines: Sequence[Line]
    dots: Sequence[Dot]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]


class Series(NamedTuple):
    """Values of one run over epochs."""

    kind: str
    epoch: Sequence[int]
    value: Sequence[float]


def charts_of(network: Network) -> list[Chart]:
    """The loss, and micro-P with the epochs chosen by validation; none without records.

    Epochs whose value is not a number are left out of the line.
    """
    runs = [records for records in network.records if records]
    if not runs:
        return []
    loss = [_series("loss", records) for records in runs]
    validation = [_series("validation", records) for records in runs]
    held_out = [_series("held_out", records) for records in runs]
    chosen = [
        (epoch, value)
        for best, series in zip(network.row.epochs, validation, strict=False)
        for epoch, value in zip(series.epoch, series.value, strict=True)
        if epoch == best
    ]
    return [
        _chart("training loss", loss, [], None),
        _chart("micro-P", [*validation, *held_out], chosen, (0.0, 1.0)),
    ]


def _series(kind: str, records: Sequence[Record]) -> Series:
    values = [record["loss"] if kind == "loss" else record[kind]["micro_p"] for record in records]
    known = [
        (int(record["epoch"]), float(value))
        for record, value in zip(records, values, strict=True)
        if value is not None and math.isfinite(value)
    ]
    return Series(kind, [epoch for epoch, _ in known], [value for _, value in known])


def _chart(
    title: str,
    series: Sequence[Series],
    marked: Sequence[tuple[int, float]],
    limits: tuple[float, float] | None,
) -> Chart:
    values = [value for each in series for value in each.value]
    low, high = limits or (min(values, default=0.0), max(values, default=1.0))
    y_ticks = round_ticks(low, high, 5)
    low, high = min(low, y_ticks[0]), max(high, y_ticks[-1])
    last = max((epoch for each in series for epoch in each.epoch), default=1)

    def x(epoch: float) -> float:
        return round(FRAME.left + (FRAME.right - FRAME.left) * (epoch - 1) / max(last - 1, 1), 1)

    def y(value: float) -> float:
        return round(FRAME.bottom - (FRAME.bottom - FRAME.top) * (value - low) / (high - low), 1)

    def points(each: Series) -> str:
        return " ".join(f"{x(e)},{y(v)}" for e, v in zip(each.epoch, each.value, strict=True))

    epochs = [tick for tick in round_ticks(1, last, 6) if 1 <= tick <= last and tick % 1 == 0]
    return Chart(
        title=title,
        text=f"{title} over {last} epochs: {'; '.join(_ends(series))}",
        lines=[Line(each.kind, points(each)) for each in series],
        dots=[Dot(x(epoch), y(value)) for epoch, value in marked],
        x_ticks=[Tick(x(epoch), f"{epoch:g}") for epoch in epochs or [1]],
        y_ticks=[Tick(y(value), f"{value:g}") for value in y_ticks],
    )


def _ends(series: Sequence[Series]) -> Iterator[str]:
    """Text alternative to the lines: their means over runs at both ends."""
    for kind in dict.fromkeys(each.kind for each in series):
        values = [each.value for each in series if each.kind == kind and each.value]
        if values:
            first, last = (np.mean([value[end] for value in values]) for end in (0, -1))
            yield f"{kind.replace('_', '-')} from {first:.3f} to {last:.3f}"


def round_ticks(low: float, high: float, max_steps: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, from at or below `low` to at or above `high`.

    At least two, even if both are equal.
    """
    least = (high - low) / max_steps or 1.0
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{step * i:.10g}") for i in range(first, max(last, first + 1) + 1)]
