"""Predictions of auxiliary tasks, in panels below the seven of figure 3.

Existing panels are numbered from 8, in the order of `task_panels`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sedmtl.events import Event
from sedmtl.inference.task_predictions import N_SCENES
from sedmtl.report.figures.panels import Curves, Panel
from sedmtl.report.figures.view import Scale, View, shorten, spectrum_scale

FIRST = 8
"""Number of the first panel."""

N_MASKS = 2
"""Classes whose masks are drawn: those of panels 3 and 4."""

NOT_LEARNED = "this network has not learned it"


def task_panels(views: Sequence[View], shown: Sequence[str]) -> list[Panel]:
    """Panels that at least one of the networks has, for the classes to show."""
    found = [*_maps(views, shown), *_curves(views), *_scenes(views)]
    return [
        replace(panel, titles=[f"{number}  {title}" for title in panel.titles])
        for number, panel in zip(count(FIRST), found, strict=False)
    ]


def _maps(views: Sequence[View], shown: Sequence[str]) -> Iterator[Panel]:
    n, reasons = len(views), [NOT_LEARNED] * len(views)
    denoised = [view.inspection.tasks.denoised for view in views]
    titles, scale = ["log-mel without the scene"] * n, spectrum_scale(views)
    panels = [Panel(titles, denoised, reasons, "level (σ)", scale, "magma")]
    masks = [view.of_classes(view.inspection.tasks.masks, shown[:N_MASKS]) for view in views]
    for i, name in enumerate(shown[:N_MASKS]):
        maps = [None if each is None else each[i] for each in masks]
        panels.append(Panel(["mask"] * n, maps, reasons, "share", Scale(0, 1), of=name))
    yield from (panel for panel in panels if not panel.is_empty)


def _curves(views: Sequence[View]) -> Iterator[Panel]:
    curves = [Curves(view.inspection.tasks.count, view.inspection.tasks.active) for view in views]
    if any(each.names for each in curves):
        title = " and ".join(dict.fromkeys(name for each in curves for name in each.names))
        nothing = [None] * len(views)
        reasons = [NOT_LEARNED] * len(views)
        yield Panel([title] * len(views), nothing, reasons, "", Scale(0, 1), curves=curves)


def _scenes(views: Sequence[View]) -> Iterator[Panel]:
    """The likeliest scenes, as a line of text."""
    if all(view.inspection.tasks.scene is None for view in views):
        return
    length = 40 // len(views)
    lines = [
        ", ".join(f"{shorten(name, length)} {p:.2f}" for name, p in likeliest) or NOT_LEARNED
        for likeliest in (
            view.inspection.tasks.likeliest_scenes(N_SCENES if len(views) == 1 else 1)
            for view in views
        )
    ]
    n = len(views)
    yield Panel([f"scene: {line}" for line in lines], [None] * n, [""] * n, "", Scale(0, 1))


def draw_curves(axis: Axes, curves: Curves, view: View, truth: Sequence[Event]) -> None:
    """Draw activity as an area, the event count as a line, and the true count as a dashed line."""
    edges_s, top = view.inspection.frame_edges_s, 1.0
    if curves.active is not None:
        axis.stairs(curves.active, edges_s, fill=True, color="#d8d2ec", label="activity")
    if curves.count is not None:
        axis.stairs(curves.count, edges_s, baseline=None, color="#3b2a6e", label="count")
        top = max(top, float(curves.count.max()))
        if truth:
            at_s = np.unique([time_s for e in truth for time_s in (e.onset_s, e.offset_s)])
            n_true = [sum(e.onset_s <= t < e.offset_s for e in truth) for t in at_s[:-1]]
            axis.stairs(n_true, at_s, color="black", lw=0.7, ls="--", label="true count")
            top = max(top, *n_true)
    axis.set_ylim(0, 1.08 * top)
    axis.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axis.spines[["top", "right"]].set_visible(False)
