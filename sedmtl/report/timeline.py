"""Positions on the time axis of a clip's page, in per cent of its width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sedmtl.events import Detection, Event
from sedmtl.report.figures.truth import lanes_of
from sedmtl.report.figures.view import Tick, View, mel_ticks, round_ticks

Events = Sequence[Event] | Sequence[Detection]


class Span(NamedTuple):
    """A part of the axis."""

    label: str
    left: float
    width: float


def share(view: View, time_s: float) -> float:
    """Position of a time: 0 at the start of the clip, 100 at its end."""
    return round(100 * (time_s - view.start_s) / (view.end_s - view.start_s), 4)


def spans(view: View, events: Events, label: str | None = None) -> list[Span]:
    """Spans of events, cut to the clip; only those of one class if a label is given."""
    return [_span(view, event) for event in events if label in (None, event.label)]


def lanes(view: View, events: Events) -> list[list[Span]]:
    """Arrange events in rows without overlap; one empty row if there are no events."""
    plain = [Event(event.label, event.onset_s, event.offset_s) for event in events]
    names = {event.label: event.label for event in plain}
    rows = lanes_of(plain, names, (view.start_s, view.end_s))
    return [[_span(view, named.event) for named in row] for row in rows] or [[]]


def _span(view: View, event: Event | Detection) -> Span:
    left = share(view, max(event.onset_s, view.start_s))
    return Span(event.label, left, round(share(view, min(event.offset_s, view.end_s)) - left, 4))


def axes(view: View) -> dict[str, Any]:
    """Template variables that position maps and label their axes."""
    begin, end = (share(view, edge_s) for edge_s in view.inspection.logmel_edges_s[[0, -1]])
    hz = view.inspection.mel_hz
    return {
        "map_style": f"left:{begin:.4f}%;width:{end - begin:.4f}%",
        "time_ticks": time_ticks(view),
        "mel_ticks": [
            Tick(round(100 * (tick.place + 0.5) / len(hz), 2), tick.text)
            for tick in mel_ticks(hz, min_share=0.14)
        ],
    }


def time_ticks(view: View) -> list[Tick]:
    """Round times as labels of the axis."""
    margin_s = 1e-4 * (view.end_s - view.start_s)  # 0.9 - 0.3 slightly exceeds 6 * 0.1
    times_s = round_ticks(view.start_s + margin_s, view.end_s - margin_s, 6 * view.n_windows)
    ticks = [Tick(share(view, time_s), f"{time_s:g}") for time_s in times_s]
    return [tick for tick in ticks if -1e-3 < tick.place < 100 + 1e-3]
