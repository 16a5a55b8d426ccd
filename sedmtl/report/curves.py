"""Per-frame predictions of auxiliary tasks as filled curves on a page."""

from __future__ import annotations

from typing import NamedTuple

from sedmtl.report.figures.view import View

KINDS = {
    "count": ("Events", "Number of events (up to {high:.2g})"),
    "active": ("Activity", "Probability that any event sounds"),
}
"""Short name and title by field of `TaskPredictions`."""


class Curve(NamedTuple):
    """A filled curve in a square of size 1, with the highest value at the top.

    Attributes:
        kind: Field of `TaskPredictions`.
        path: SVG path.
        high: The value at the top: 1, or the highest count.
    """

    kind: str
    name: str
    title: str
    path: str
    high: float


def curves_of(view: View) -> list[Curve]:
    """Curves predicted by the tasks of a view's network."""
    drawn, clip = [], view.inspection
    for kind, (name, title) in KINDS.items():
        if (values := getattr(clip.tasks, kind)) is None:
            continue
        over_time, high = clip.at_logmel_frames(values), max(1.0, float(values.max()))
        width = 1 / len(over_time)
        steps = [f"V{1 - y / high:.4g}h{width:.6g}" for y in over_time.tolist()]
        path = f"M0,1{''.join(steps)}V1Z"
        drawn.append(Curve(kind, name, title.format(high=high), path, high))
    return drawn
