"""The paper's figure 3: seven panels of one clip, by one network or by two side by side.

Each network has one column of panels on a common time axis; colour bars and clip scores are on the
right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.patches import Patch

from sedmtl.events import Event
from sedmtl.report.figures.canvas import PRINT, new_figure
from sedmtl.report.figures.panels import Panel, panels_of
from sedmtl.report.figures.task_panels import draw_curves, task_panels
from sedmtl.report.figures.truth import draw_strip, lanes_of, mark
from sedmtl.report.figures.view import Scale, View, mel_ticks, short_names, shorten

MAX_CLASSES = 12
"""Most classes: more rows would leave no room for the other panels on a journal page."""

WIDTH_IN = 7.16
"""Width of two columns of an IEEE journal."""

MEL_IN, CURVES_IN, TITLE_IN, LANE_IN, NOTHING_IN = 0.85, 0.5, 0.22, 0.13, 0.01
ROW_IN = (0.135, 0.165)
"""Row height per class, for one network and for two, which need two bars."""

N_CHARACTERS = (24, 17)
"""Maximum length of a class name, for one network and for two."""

KEY_IN, KEY_PITCH_IN = 0.07, 0.42
BARS = (("#3b2a6e", ""), ("#d8d2ec", "/////"))
"""Colour and hatching of the bars of both networks: dark and light, distinct in greyscale."""


def figure_3(
    views: Sequence[View], title: str, shown: Sequence[str], truth: Sequence[Event] | None = None
) -> Figure:
    """Draw one or two networks' views of a clip.

    Panels: 1 log-mel, 2 its reconstruction, 3 and 4 attention over mel bins for the first two of
    the shown classes, 5 frame scores, 6 attention over time, 7 clip scores (paper, figure 3). Below
    them are the panels of auxiliary tasks that a network was trained on.
    Panels to be compared share a colour scale: 1 and 2, 3 and 4, and each panel across networks.

    Args:
        views: Views of one clip by one or two networks with the same classes, one column each.
        title: Title at the top.
        shown: Names of the classes of panels 5 to 7, from the top.
        truth: The true events, if known: shown above panel 1 and outlined in the others.
    """
    with rc_context(PRINT):
        papers, events, n = panels_of(views, shown), truth or (), len(views)
        panels = [*papers, *task_panels(views, shown)]
        limits_s = min(view.start_s for view in views), max(view.end_s for view in views)
        short = short_names([*shown, *(event.label for event in events)], N_CHARACTERS[n - 1])
        lanes = lanes_of(events, short, limits_s, 0.012 * n * (limits_s[1] - limits_s[0]))
        heights_in = [len(lanes) * LANE_IN or NOTHING_IN]
        heights_in += [_height_in(panel, max(0.4, ROW_IN[n - 1] * len(shown))) for panel in panels]
        last, lowest = _last(papers), _last(panels)
        figure = new_figure(WIDTH_IN, sum(heights_in) + TITLE_IN * len(heights_in) + 0.6, dpi=300)
        widths = [5.6 / n] * n + [1.1]  # a column per network and one for colour bars
        grid = figure.add_gridspec(
            len(heights_in), n + 1, height_ratios=heights_in, width_ratios=widths
        )
        for column, view in enumerate(views):
            strip, *axes = (figure.add_subplot(grid[i, column]) for i in range(len(heights_in)))
            draw_strip(strip, lanes, truth is not None)
            letter = f"({'ab'[column]})  " if n > 1 else ""
            heading = f"{letter}{shorten(view.name, 80 // n)}"
            strip.set_title(heading, weight="bold", fontsize=6.5)
            for axis, panel in zip(axes, panels, strict=True):
                _draw_panel(axis, panel, column, view, events, short)
            _share_time([strip, *axes[:lowest]], limits_s)
            if column:
                _hide_names([strip, *axes], panels, views)
        _draw_keys(figure, grid, heights_in[:last], panels, views)
        _draw_clip_scores(figure.add_subplot(grid[last, -1]), views, shown)
        _draw_curves_key(figure, grid, panels)
        figure.suptitle(title, fontsize=8)
    return figure


def _last(panels: Sequence[Panel]) -> int:
    """Row of the last panel that is not just a line of text; the strip at the top is row 0."""
    return max(i for i, panel in enumerate(panels, start=1) if not panel.is_empty)


def _height_in(panel: Panel, classes_in: float) -> float:
    if panel.is_empty:
        return NOTHING_IN
    if panel.curves:
        return CURVES_IN
    return classes_in if panel.names else MEL_IN


def _draw_panel(
    axis: Axes, panel: Panel, column: int, view: View, truth: Sequence[Event],
    short: Mapping[str, str],
) -> None:  # fmt: skip
    title, values, reason = panel.titles[column], panel.maps[column], panel.reasons[column]
    title = title if panel.of is None else f"{title}: {short[panel.of]}"
    if panel.is_empty:  # a line of text instead of a panel
        axis.set_axis_off()
        text = f"{title}: left out, {reason}" if reason else title
        axis.set_title(text, loc="left", color="0.35" if reason else "black")
        return
    axis.set_title(title, loc="left")
    if panel.curves and panel.curves[column].names:
        draw_curves(axis, panel.curves[column], view, truth)
        return
    if values is None:
        axis.text(0.5, 0.5, reason, transform=axis.transAxes, ha="center", va="center")
        axis.set_yticks([])
        return
    seen = view.inspection
    is_logmel = len(values) == len(seen.logmel)
    begin_s, end_s = (seen.logmel_edges_s if is_logmel else seen.frame_edges_s)[[0, -1]]
    axis.imshow(
        values.T, origin="lower", aspect="auto", interpolation="nearest",
        extent=(begin_s, end_s, -0.5, values.shape[1] - 0.5),
        norm=_norm(panel.scale), cmap=panel.cmap,
    )  # fmt: skip
    if view.is_padded:
        axis.axvspan(view.audio_end_s, view.end_s, fill=False, edgecolor="grey", hatch="//", lw=0)
    if panel.names:
        _name_classes(axis, panel.names, truth, short)
    else:
        ticks = mel_ticks(seen.mel_hz, min_share=0.12)
        axis.set_yticks([tick.place for tick in ticks], [tick.text for tick in ticks])
        axis.set_ylabel("frequency (Hz)")
    mark(axis, panel, truth, values.shape[1])


def _norm(scale: Scale) -> Normalize:
    if scale.root:
        return PowerNorm(0.5, scale.low, scale.high, clip=True)
    return Normalize(scale.low, scale.high)


def _name_classes(
    axis: Axes, names: Sequence[str], truth: Sequence[Event], short: Mapping[str, str]
) -> None:
    axis.set_yticks(range(len(names)), [short[name] for name in names])
    axis.invert_yaxis()
    axis.tick_params(axis="y", length=0)
    true = {event.label for event in truth}
    for label, name in zip(axis.get_yticklabels(), names, strict=True):
        label.set_fontweight("bold" if name in true else "normal")


def _share_time(axes: Sequence[Axes], limits_s: tuple[float, float]) -> None:
    for axis in axes:
        axis.set_xlim(*limits_s)
        axis.tick_params(axis="x", labelbottom=axis is axes[-1])
    axes[-1].set_xlabel("time (s)")


def _hide_names(axes: Sequence[Axes], panels: Sequence[Panel], views: Sequence[View]) -> None:
    """Label only the first column if the other has the same axis."""
    same_hz = np.array_equal(views[0].inspection.mel_hz, views[-1].inspection.mel_hz)
    in_first = [True, *(p.maps[0] is not None and (p.names or same_hz) for p in panels)]
    for axis, is_in_first in zip(axes, in_first, strict=True):
        if is_in_first:
            axis.set_ylabel("")
            axis.tick_params(axis="y", labelleft=False)


def _draw_keys(
    figure: Figure, grid: GridSpec, heights_in: Sequence[float], panels: Sequence[Panel],
    views: Sequence[View],
) -> None:  # fmt: skip
    """Draw the colour bars, one below the other, each with the numbers of its panels."""
    keys: dict[tuple[str, str, Scale], list[str]] = {}
    for panel in panels:
        if not panel.is_empty and not panel.curves:
            key = (panel.unit, panel.cmap, panel.scale)
            keys.setdefault(key, []).append(panel.number)
    left_in = sum(heights_in) + TITLE_IN * len(heights_in) - KEY_PITCH_IN * len(keys)
    ratios = [*[KEY_IN] * len(keys), max(left_in, NOTHING_IN)]
    places = grid[: len(heights_in), -1].subgridspec(len(ratios), 1, height_ratios=ratios)
    for i, ((unit, cmap, scale), numbers) in enumerate(keys.items()):
        axis = figure.add_subplot(places[i])
        mappable = ScalarMappable(_norm(scale), cmap)
        bar = figure.colorbar(mappable, cax=axis, orientation="horizontal")
        axis.set_title(f"{', '.join(numbers)}  {unit}", loc="left")
        if scale.root:  # default ticks would crowd at the upper end
            ticks = [scale.high * share for share in (0, 1 / 4, 1)]
            bar.set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks])
    _draw_legend(figure.add_subplot(places[len(keys)]), views)


def _draw_curves_key(figure: Figure, grid: GridSpec, panels: Sequence[Panel]) -> None:
    """Draw the legend of the curves next to them."""
    for row, panel in enumerate(panels, start=1):
        if panel.curves:
            drawn = [axis for axis in figure.axes if axis.get_title("left") in panel.titles]
            found = [zip(*axis.get_legend_handles_labels(), strict=True) for axis in drawn]
            signs = {label: sign for each in found for sign, label in each}
            axis = figure.add_subplot(grid[row, -1])
            axis.set_axis_off()
            axis.legend(signs.values(), signs, loc="upper left", frameon=False, borderpad=0)


def _draw_legend(axis: Axes, views: Sequence[View]) -> None:
    """Draw the legend of bars and hatching."""
    axis.set_axis_off()
    signs = [
        Patch(facecolor=colour, hatch=hatch, edgecolor=BARS[0][0], label=f"({letter})")
        for letter, (colour, hatch), _ in zip("ab", BARS, views, strict=False)
        if len(views) > 1
    ]
    if any(view.is_padded for view in views):
        signs.append(Patch(fill=False, edgecolor="grey", hatch="////", label="padding"))
    axis.legend(handles=signs, loc="lower left", frameon=False, borderpad=0)


def _draw_clip_scores(axis: Axes, views: Sequence[View], shown: Sequence[str]) -> None:
    """Draw panel 7 next to the last panel of classes, row by row."""
    thickness = 0.8 / len(views)
    for i, (view, (colour, hatch)) in enumerate(zip(views, BARS, strict=False)):
        places = np.arange(len(shown)) + (i - (len(views) - 1) / 2) * thickness
        scores = view.inspection.clip[view.rows(shown)]
        bars = axis.barh(places, scores, thickness, color=colour, hatch=hatch)
        for bar in bars:
            bar.set(edgecolor=BARS[0][0], linewidth=0.5)
        axis.bar_label(bars, fmt="%.2f", padding=1.5, fontsize=5.5 if len(views) > 1 else 6)
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.set_yticks([])
    axis.set_xlim(0, 1.3)
    axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axis.set_title("7  clip score", loc="left")
    axis.spines[["top", "right"]].set_visible(False)
