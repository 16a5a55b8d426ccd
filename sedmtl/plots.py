"""The picture of a prediction: the seven panels of the paper's figure 3.

Draws with matplotlib's object interface, so that no window system and no global state is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
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

from sedmtl.detector import Prediction
from sedmtl.events import Event

MAX_CLASSES = 16
"""More names than this cannot be read beside a panel; the most likely classes are shown."""

TICKS_HZ = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000)
TRUTH = "#00c8ff"
"""Colour of the true events: a cyan that stands out from the violet to yellow of the maps."""


def figure_3(prediction: Prediction, title: str, truth: Sequence[Event] | None = None) -> Figure:
    """Draw a prediction.

    Panels: 1 log-mel, 2 its reconstruction, 3 and 4 attention over mel bins for the two most
    likely classes, 5 output of the first attention step, 6 attention over time, 7 clip scores.

    Args:
        prediction: Of one clip.
        title: Shown on top.
        truth: The true events, if they are known: drawn as outlines.
    """
    shown = _shown_classes(prediction, truth)
    height = 9.0 + 0.3 * len(shown)
    figure = Figure(figsize=(15, height), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        4, 2, height_ratios=[2.8, 2.8, 1.2 + 0.18 * len(shown), 1.2 + 0.1 * len(shown)]
    )
    axes = [figure.add_subplot(grid[row, column]) for row in range(3) for column in range(2)]
    _draw_spectra(axes[:2], prediction)
    _draw_mel_attention(axes[2:4], prediction)
    _draw_classes_over_time(axes[4:6], prediction, shown)
    _draw_clip_scores(figure.add_subplot(grid[3, :]), prediction, shown, truth)
    for axis in axes:
        axis.set_xlabel("time (s)")
        axis.set_xlim(*_round_outwards(*_time_limits(prediction)))
    if truth is not None:
        _draw_truth(axes, prediction, shown, truth)
        title = f"{title}   (outlined: the true events)"
    figure.suptitle(title, fontsize=14)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the file's extension decides the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _shown_classes(prediction: Prediction, truth: Sequence[Event] | None) -> list[int]:
    """Indices of the classes to show, the most likely first, true ones always among them."""
    order = list(np.argsort(-prediction.clip, kind="stable"))
    true = {event.label for event in truth or ()}
    first = [i for i in order if prediction.classes[i] in true]
    rest = [i for i in order if prediction.classes[i] not in true]
    chosen = set((first + rest)[:MAX_CLASSES])
    return [int(i) for i in order if i in chosen]


def _time_limits(prediction: Prediction) -> tuple[float, float]:
    return float(prediction.frame_edges_s[0]), float(prediction.frame_edges_s[-1])


def _round_outwards(begin_s: float, end_s: float) -> tuple[float, float]:
    """To tenths of a second, so that the axis begins at 0 and not at half a window."""
    return float(np.floor(10 * begin_s)) / 10, float(np.ceil(10 * end_s)) / 10


def _share_heard(prediction: Prediction) -> float:
    """The part of the clip that is audio and not padding."""
    begin_s, end_s = _time_limits(prediction)
    return min(1.0, prediction.duration_s / (end_s - begin_s))


def _draw_spectra(axes: Sequence[Axes], prediction: Prediction) -> None:
    # One scale for both, or the comparison would mean nothing.
    n_heard = int(np.ceil(len(prediction.logmel) * _share_heard(prediction)))
    low, high = np.quantile(prediction.logmel[:n_heard], [0.005, 0.995])
    panels = {
        "1  log-mel, standardised": prediction.logmel,
        "2  reconstruction by the decoder": prediction.reconstruction,
    }
    for axis, (name, values) in zip(axes, panels.items(), strict=True):
        if values is None:
            _leave_out(axis, name, "no decoder was trained")
            continue
        image = _draw_map(axis, values, prediction, cmap="magma", vmin=low, vmax=high)
        _name_frequencies(axis, prediction)
        _finish(axis, image, name, "standard deviations")


def _draw_mel_attention(axes: Sequence[Axes], prediction: Prediction) -> None:
    top = np.argsort(-prediction.clip, kind="stable")[: len(axes)]
    if prediction.mel_attention is None:
        for number, axis in enumerate(axes, start=3):
            _leave_out(axis, f"{number}  attention over mel bins", "this network has none")
        return
    norm = _weight_norm(prediction.mel_attention[top])
    for number, (axis, i) in enumerate(zip(axes, top, strict=False), start=3):
        image = _draw_map(axis, prediction.mel_attention[i], prediction, norm=norm)
        _name_frequencies(axis, prediction)
        name = f"{number}  attention over mel bins: {prediction.classes[i]}"
        _finish(axis, image, f"{name} ({prediction.clip[i]:.2f})", "weight")
    for axis in axes[len(top) :]:
        axis.set_axis_off()


def _draw_classes_over_time(
    axes: Sequence[Axes], prediction: Prediction, shown: Sequence[int]
) -> None:
    # Scores are in [0, 1], but for the form of the equations, whose may lie anywhere.
    low, high = min(0.0, float(prediction.frame.min())), max(1.0, float(prediction.frame.max()))
    frame, attention = prediction.frame[list(shown)].T, prediction.time_attention
    image = _draw_map(axes[0], frame, prediction, vmin=low, vmax=high)
    name = "5  classes over time" if attention is None else "5  output of the first step"
    # The dense layer over frames has weights of either sign.
    doubt = "" if attention is None else " (low may mean present)"
    _finish(axes[0], image, f"{name}{doubt}", "score")
    _name_classes(axes[0], prediction, shown)
    if attention is None:
        _leave_out(axes[1], "6  attention over time", "this network has none")
        return
    weights = attention[list(shown)].T
    image = _draw_map(axes[1], weights, prediction, norm=_weight_norm(weights))
    _finish(axes[1], image, "6  attention over time", "weight")
    _name_classes(axes[1], prediction, shown)


def _name_classes(axis: Axes, prediction: Prediction, shown: Sequence[int]) -> None:
    axis.set_yticks(range(len(shown)), [prediction.classes[i] for i in shown])
    axis.invert_yaxis()


def _leave_out(axis: Axes, name: str, reason: str) -> None:
    axis.set_title(name, loc="left", color="grey")
    axis.text(0.5, 0.5, reason, transform=axis.transAxes, ha="center", va="center", color="grey")
    axis.set_yticks([])


def _draw_map(
    axis: Axes, values: npt.NDArray[np.float32], prediction: Prediction, **colours: Any
) -> AxesImage:
    """A (T, n) map: frames along x in seconds, the others upwards."""
    extent = (*_time_limits(prediction), -0.5, values.shape[1] - 0.5)
    colours = {"cmap": "viridis", **colours}
    return axis.imshow(
        values.T, origin="lower", aspect="auto", interpolation="nearest", extent=extent, **colours
    )


def _weight_norm(weights: npt.NDArray[np.float32]) -> PowerNorm:
    """A square-root scale: attention weights are many small ones and a few large ones."""
    return PowerNorm(0.5, vmin=0.0, vmax=float(np.quantile(weights, 0.9995)), clip=True)


def _name_frequencies(axis: Axes, prediction: Prediction) -> None:
    hz = prediction.mel_hz
    ticks = [tick for tick in TICKS_HZ if hz[0] <= tick <= hz[-1]]
    places = np.interp(ticks, hz, np.arange(len(hz)))
    axis.set_yticks(places, [f"{tick:,}" for tick in ticks])
    axis.set_ylabel("frequency (Hz)")


def _draw_clip_scores(
    axis: Axes, prediction: Prediction, shown: Sequence[int], truth: Sequence[Event] | None
) -> None:
    true = {event.label for event in truth or ()}
    names = [prediction.classes[i] for i in shown]
    edges = [TRUTH if name in true else "none" for name in names]
    bars = axis.bar(
        names, prediction.clip[list(shown)], color="#443983", edgecolor=edges, linewidth=3
    )
    axis.bar_label(bars, fmt="%.2f", padding=2)
    axis.set_ylim(0, 1.12)
    axis.set_ylabel("clip score")
    if len(names) > 8:
        axis.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
    n_all, n_shown = len(prediction.classes), len(shown)
    note = f" ({n_shown} of {n_all} classes: the likeliest and the true)" if n_all > n_shown else ""
    axis.set_title(f"7  is it in the clip? {note}", loc="left")
    axis.spines[["top", "right"]].set_visible(False)


def _draw_truth(
    axes: Sequence[Axes], prediction: Prediction, shown: Sequence[int], truth: Sequence[Event]
) -> None:
    """Outline the events in panels 1, 2, 5 and 6, and name them in the first."""
    begin_s, end_s = _time_limits(prediction)
    n_mels = len(prediction.mel_hz)
    rows = {prediction.classes[i]: row for row, i in enumerate(shown)}
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
