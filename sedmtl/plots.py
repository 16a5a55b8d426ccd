"""The picture of a inspection: the seven panels of the paper's figure 3.

Draws with matplotlib's object interface, so that no window system and no global state is touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from sedmtl.detector import Inspection
from sedmtl.events import Event
from sedmtl.metrics.psds import Psds

MAX_CLASSES = 16
"""More names than this cannot be read beside a panel; the most likely classes are shown."""

TICKS_HZ = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000)
PER_HOUR = np.linspace(0, 100, 2001)
SCENARIOS = ("at the right time", "of the right class")
LINES = tuple(
    (colour, dashes)
    for dashes in ("-", "--", ":")
    for colour in ("#440154", "#e07b00", "#1f9e89", "#b5367a", "#4c72b0", "#767676")
)
"""Colours that differ in lightness, too; then the same, dashed."""
TRUTH = "#00c8ff"
"""Colour of the true events: a cyan that stands out from the violet to yellow of the maps."""


def figure_3(inspection: Inspection, title: str, truth: Sequence[Event] | None = None) -> Figure:
    """Draw an inspection.

    Panels: 1 log-mel, 2 its reconstruction, 3 and 4 attention over mel bins for the two most
    likely classes, 5 output of the first attention step, 6 attention over time, 7 clip scores.

    Args:
        inspection: Of one clip.
        title: Shown on top.
        truth: The true events, if they are known: drawn as outlines.
    """
    shown = _shown_classes(inspection, truth)
    height = 9.0 + 0.3 * len(shown)
    figure = Figure(figsize=(15, height), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        4, 2, height_ratios=[2.8, 2.8, 1.2 + 0.18 * len(shown), 1.2 + 0.1 * len(shown)]
    )
    axes = [figure.add_subplot(grid[row, column]) for row in range(3) for column in range(2)]
    _draw_spectra(axes[:2], inspection)
    _draw_mel_attention(axes[2:4], inspection)
    _draw_classes_over_time(axes[4:6], inspection, shown)
    _draw_clip_scores(figure.add_subplot(grid[3, :]), inspection, shown, truth)
    for axis in axes:
        axis.set_xlabel("time (s)")
        axis.set_xlim(*_round_outwards(*_time_limits(inspection)))
    if truth is not None:
        _draw_truth(axes, inspection, shown, truth)
        title = f"{title}   (outlined: the true events)"
    figure.suptitle(title, fontsize=14)
    return figure


def psd_roc(curves: Mapping[str, tuple[Sequence[Psds], Sequence[Psds]]], title: str) -> Figure:
    """Draw the curves of the polyphonic sound detection score, a line a network.

    Args:
        curves: By the network's name, those of scenarios 1 and 2, an item a fold; the mean over
            folds is drawn.
        title: Shown on top.
    """
    figure = Figure(figsize=(13, 5), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    for scenario, axis in enumerate(figure.subplots(1, 2, sharey=True)):
        for (name, by_scenario), (colour, dashes) in zip(curves.items(), cycle(LINES)):
            folds = by_scenario[scenario]
            value = np.mean([fold.value for fold in folds])
            rate = np.mean([_staircase(fold) for fold in folds], axis=0)
            label = f"{value:.3f}  {name}"
            axis.step(PER_HOUR, rate, where="post", label=label, color=colour, linestyle=dashes)
        axis.set_title(f"scenario {scenario + 1}: {SCENARIOS[scenario]}", loc="left")
        axis.set_xlabel("effective false positives an hour")
        axis.set_xlim(0, PER_HOUR[-1])
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(title=f"PSDS{scenario + 1}", alignment="left", frameon=False)
    figure.axes[0].set_ylabel("effective true positive rate")
    figure.suptitle(title, fontsize=14)
    return figure


def _staircase(curve: Psds) -> npt.NDArray[np.float64]:
    """The curve's value at each of `PER_HOUR`."""
    values: npt.NDArray[np.float64] = curve.etpr[
        np.searchsorted(curve.efpr, PER_HOUR, side="right") - 1
    ]
    return values


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the file's extension decides the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _shown_classes(inspection: Inspection, truth: Sequence[Event] | None) -> list[int]:
    """Indices of the classes to show, the most likely first, true ones always among them."""
    order = list(np.argsort(-inspection.clip, kind="stable"))
    true = {event.label for event in truth or ()}
    first = [i for i in order if inspection.classes[i] in true]
    rest = [i for i in order if inspection.classes[i] not in true]
    chosen = set((first + rest)[:MAX_CLASSES])
    return [int(i) for i in order if i in chosen]


def _time_limits(inspection: Inspection) -> tuple[float, float]:
    return float(inspection.frame_edges_s[0]), float(inspection.frame_edges_s[-1])


def _round_outwards(begin_s: float, end_s: float) -> tuple[float, float]:
    """To tenths of a second, so that the axis begins at 0 and not at half a window."""
    return float(np.floor(10 * begin_s)) / 10, float(np.ceil(10 * end_s)) / 10


def _share_heard(inspection: Inspection) -> float:
    """The part of the clip that is audio and not padding."""
    begin_s, end_s = _time_limits(inspection)
    return min(1.0, inspection.duration_s / (end_s - begin_s))


def _draw_spectra(axes: Sequence[Axes], inspection: Inspection) -> None:
    # One scale for both, or the comparison would mean nothing.
    n_heard = int(np.ceil(len(inspection.logmel) * _share_heard(inspection)))
    low, high = np.quantile(inspection.logmel[:n_heard], [0.005, 0.995])
    panels = {
        "1  log-mel, standardised": inspection.logmel,
        "2  reconstruction by the decoder": inspection.reconstruction,
    }
    for axis, (name, values) in zip(axes, panels.items(), strict=True):
        if values is None:
            _leave_out(axis, name, "no decoder was trained")
            continue
        image = _draw_map(axis, values, inspection, cmap="magma", vmin=low, vmax=high)
        _name_frequencies(axis, inspection)
        _finish(axis, image, name, "standard deviations")


def _draw_mel_attention(axes: Sequence[Axes], inspection: Inspection) -> None:
    top = np.argsort(-inspection.clip, kind="stable")[: len(axes)]
    if inspection.mel_attention is None:
        for number, axis in enumerate(axes, start=3):
            _leave_out(axis, f"{number}  attention over mel bins", "this network has none")
        return
    norm = _weight_norm(inspection.mel_attention[top])
    for number, (axis, i) in enumerate(zip(axes, top, strict=False), start=3):
        image = _draw_map(axis, inspection.mel_attention[i], inspection, norm=norm)
        _name_frequencies(axis, inspection)
        name = f"{number}  attention over mel bins: {inspection.classes[i]}"
        _finish(axis, image, f"{name} ({inspection.clip[i]:.2f})", "weight")
    for axis in axes[len(top) :]:
        axis.set_axis_off()


def _draw_classes_over_time(
    axes: Sequence[Axes], inspection: Inspection, shown: Sequence[int]
) -> None:
    # Scores are in [0, 1], but for the form of the equations, whose may lie anywhere.
    low, high = min(0.0, float(inspection.frame.min())), max(1.0, float(inspection.frame.max()))
    frame, attention = inspection.frame[list(shown)].T, inspection.time_attention
    image = _draw_map(axes[0], frame, inspection, vmin=low, vmax=high)
    name = "5  classes over time" if attention is None else "5  output of the first step"
    # The dense layer over frames has weights of either sign.
    doubt = "" if attention is None else " (low may mean present)"
    _finish(axes[0], image, f"{name}{doubt}", "score")
    _name_classes(axes[0], inspection, shown)
    if attention is None:
        _leave_out(axes[1], "6  attention over time", "this network has none")
        return
    weights = attention[list(shown)].T
    image = _draw_map(axes[1], weights, inspection, norm=_weight_norm(weights))
    _finish(axes[1], image, "6  attention over time", "weight")
    _name_classes(axes[1], inspection, shown)


def _name_classes(axis: Axes, inspection: Inspection, shown: Sequence[int]) -> None:
    axis.set_yticks(range(len(shown)), [inspection.classes[i] for i in shown])
    axis.invert_yaxis()


def _leave_out(axis: Axes, name: str, reason: str) -> None:
    axis.set_title(name, loc="left", color="grey")
    axis.text(0.5, 0.5, reason, transform=axis.transAxes, ha="center", va="center", color="grey")
    axis.set_yticks([])


def _draw_map(
    axis: Axes, values: npt.NDArray[np.float32], inspection: Inspection, **colours: Any
) -> AxesImage:
    """A (T, n) map: frames along x in seconds, the others upwards."""
    extent = (*_time_limits(inspection), -0.5, values.shape[1] - 0.5)
    colours = {"cmap": "viridis", **colours}
    return axis.imshow(
        values.T, origin="lower", aspect="auto", interpolation="nearest", extent=extent, **colours
    )


def _weight_norm(weights: npt.NDArray[np.float32]) -> PowerNorm:
    """A square-root scale: attention weights are many small ones and a few large ones."""
    return PowerNorm(0.5, vmin=0.0, vmax=float(np.quantile(weights, 0.9995)), clip=True)


def _name_frequencies(axis: Axes, inspection: Inspection) -> None:
    hz = inspection.mel_hz
    ticks = [tick for tick in TICKS_HZ if hz[0] <= tick <= hz[-1]]
    places = np.interp(ticks, hz, np.arange(len(hz)))
    axis.set_yticks(places, [f"{tick:,}" for tick in ticks])
    axis.set_ylabel("frequency (Hz)")


def _draw_clip_scores(
    axis: Axes, inspection: Inspection, shown: Sequence[int], truth: Sequence[Event] | None
) -> None:
    true = {event.label for event in truth or ()}
    names = [inspection.classes[i] for i in shown]
    edges = [TRUTH if name in true else "none" for name in names]
    bars = axis.bar(
        names, inspection.clip[list(shown)], color="#443983", edgecolor=edges, linewidth=3
    )
    axis.bar_label(bars, fmt="%.2f", padding=2)
    axis.set_ylim(0, 1.12)
    axis.set_ylabel("clip score")
    if len(names) > 8:
        axis.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
    n_all, n_shown = len(inspection.classes), len(shown)
    note = f" ({n_shown} of {n_all} classes: the likeliest and the true)" if n_all > n_shown else ""
    axis.set_title(f"7  is it in the clip? {note}", loc="left")
    axis.spines[["top", "right"]].set_visible(False)


def _draw_truth(
    axes: Sequence[Axes], inspection: Inspection, shown: Sequence[int], truth: Sequence[Event]
) -> None:
    """Outline the events in panels 1, 2, 5 and 6, and name them in the first."""
    begin_s, end_s = _time_limits(inspection)
    n_mels = len(inspection.mel_hz)
    rows = {inspection.classes[i]: row for row, i in enumerate(shown)}
    for number, event in enumerate(truth):
        _name_event(axes[0], event, 0.97 - 0.09 * (number % 3))
        onset_s, offset_s = max(event.onset_s, begin_s), min(event.offset_s, end_s)
        if offset_s <= onset_s:
            continue
        for axis in axes[:2]:
            _outline(axis, onset_s, offset_s, -0.5, n_mels)
        if event.label in rows:
            for axis in axes[4:6]:
                _outline(axis, onset_s, offset_s, rows[event.label] - 0.5, 1)


def _name_event(axis: Axes, event: Event, height: float) -> None:
    """Names stand in three rows by turns, so that those of near events do not collide."""
    axis.text(
        event.onset_s, height, f" {event.label}", color=TRUTH, weight="bold", va="top",
        transform=axis.get_xaxis_transform(), clip_on=True,
        path_effects=[withStroke(linewidth=3, foreground="black")],
    )  # fmt: skip


def _outline(axis: Axes, onset_s: float, offset_s: float, bottom: float, height: float) -> None:
    axis.add_patch(
        Rectangle((onset_s, bottom), offset_s - onset_s, height, fill=False, ec=TRUTH, lw=1.8)
    )


def _finish(axis: Axes, image: AxesImage, name: str, unit: str) -> None:
    axis.set_title(name, loc="left")
    assert axis.figure is not None
    bar = axis.figure.colorbar(image, ax=axis, label=unit, pad=0.01)
    if isinstance(image.norm, PowerNorm):  # its ticks would crowd at the upper end
        top = image.norm.vmax or 1.0
        bar.set_ticks([0, top / 16, top / 4, top])
        bar.ax.set_yticklabels([f"{value:.2g}" for value in (0, top / 16, top / 4, top)])
