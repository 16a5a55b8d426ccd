"""Positions on a page's time axis, in per cent of its width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from sedmtl.events import Detection, Event
from sedmtl.report.figures.truth import lanes_of
from sedmtl.report.figures.view import View, mel_ticks

Events = Sequence[Event] | Sequence[Detection]


class Span(NamedTuple):
    """A part of the axis."""

    label: str
    left: float
    width: float


class Tick(NamedTuple):
    """A labelled position on an axis."""

    share: float
    text: str


def share(view: View, time_s: float) -> float:
    """Where a time stands: 0 at the beginning of the clip, 100 at its end."""
    return round(100 * (time_s - view.start_s) / (view.end_s - view.start_s), 4)


def spans(view: View, events: Events) -> list[Span]:
    """Events of the clip, as much of them as is in it."""
    return [_span(view, event) for event in events]


def lanes(view: View, events: Events) -> list[list[Span]]:
    """Rows of events that do not overlap; one empty row if there are no events."""
    plain = [Event(event.label, event.onset_s, event.offset_s) for event in events]
    names = {event.label: event.label for event in plain}
    rows = lanes_of(plain, names, (view.start_s, view.end_s))
    return [[_span(view, named.event) for named in row] for row in rows] or [[]]


def _span(view: View, event: Event | Detection) -> Span:
    left = share(view, max(event.onset_s, view.start_s))
    return Span(event.label, left, round(share(view, min(event.offset_s, view.end_s)) - left, 4))


def time_ticks(view: View, max_steps: int = 6) -> list[Tick]:
    """Round times to label the axis with: multiples of 1, 2 or 5 times a power of ten."""
    least_s = (view.end_s - view.start_s) / max_steps
    power = 10.0 ** math.floor(math.log10(least_s))
    step_s = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= 0.999 * least_s)
    # Rounding must not lose a tick at either end.
    first, last = math.ceil(view.start_s / step_s - 1e-6), math.floor(view.end_s / step_s + 1e-6)
    times_s = [step_s * i for i in range(first, last + 1)]
    return [Tick(share(view, time_s), f"{time_s:g}") for time_s in times_s]


def frequency_ticks(view: View) -> list[Tick]:
    """Round frequencies to label an axis of mel bins with, from the bottom."""
    hz = view.inspection.mel_hz
    ticks = mel_ticks(hz, min_share=0.14)
    return [Tick(round(100 * (tick.place + 0.5) / len(hz), 2), f"{tick.hz:,}") for tick in ticks]
