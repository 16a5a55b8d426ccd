"""The true events in figure 3: a strip with their names, and outlines in the maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from sedmtl.events import Event
from sedmtl.report.figures.panels import Panel

HALO = withStroke(linewidth=1.5, foreground="#e3e3e3")
OUTLINE: dict[str, Any] = {
    "fill": False, "edgecolor": "white", "linewidth": 0.7,
    "path_effects": [withStroke(linewidth=1.7, foreground="black")],
}  # fmt: skip
"""White on black is visible on every colour of a map, even in greyscale."""


class Named(NamedTuple):
    """An event and the position of its name: left of its onset if the axis ends too soon."""

    event: Event
    name: str
    name_s: float
    name_width_s: float

    @property
    def end_s(self) -> float:
        """The earliest position of the next event in the row."""
        return max(self.event.offset_s, self.name_s + self.name_width_s)


Lanes = Sequence[Sequence[Named]]


def lanes_of(
    truth: Sequence[Event],
    short: Mapping[str, str],
    limits_s: tuple[float, float],
    character_s: float = 0.0,
) -> Lanes:
    """Arrange events and their short labels in as few rows as possible.

    `character_s` is the width of a character on the time axis; by default labels are ignored.
    """
    lanes: list[list[Named]] = []
    for event in sorted(truth, key=lambda event: event.onset_s):
        width_s = character_s * (len(short[event.label]) + 1)
        name_s = max(limits_s[0], min(event.onset_s, limits_s[1] - width_s))
        named = Named(event, short[event.label], name_s, width_s)
        lane = next((lane for lane in lanes if lane[-1].end_s < named.name_s), None)
        if lane is None:
            lanes.append(lane := [])
        lane.append(named)
    return lanes


def draw_strip(axis: Axes, lanes: Lanes, are_known: bool) -> None:
    """Draw a named bar for each event; nothing if the truth is unknown."""
    if not are_known:
        axis.set_axis_off()
        return
    for row, lane in enumerate(lanes):
        for (_, onset_s, offset_s), name, name_s, _ in lane:
            axis.barh(
                row, offset_s - onset_s, 0.86, left=onset_s, color="#e3e3e3", edgecolor="black",
                linewidth=0.6,
            )  # fmt: skip
            axis.text(name_s, row, f" {name}", va="center", clip_on=True, path_effects=[HALO])
    axis.set_ylim(max(len(lanes), 1) - 0.5, -0.5)
    axis.set_yticks([(len(lanes) - 1) / 2], ["true events" if lanes else "no true event"])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def mark(axis: Axes, panel: Panel, truth: Sequence[Event], n_bins: int) -> None:
    """Outline the true events in a map: over all mel bins, or in the row of their class."""
    for event in truth:
        if panel.names:
            is_shown, height = event.label in panel.names, 1
            row = list(panel.names).index(event.label) if is_shown else 0
        else:
            is_shown, height, row = panel.of in (None, event.label), n_bins, 0
        if is_shown:
            duration_s = event.offset_s - event.onset_s
            axis.add_patch(Rectangle((event.onset_s, row - 0.5), duration_s, height, **OUTLINE))
