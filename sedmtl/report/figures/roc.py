"""The score curves (PSD-ROC) of networks: true positive rate over false positives per hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from sedmtl.evaluation.differences import names_of
from sedmtl.evaluation.rows import Row, ScoredData, by_data
from sedmtl.metrics.psds import Psds
from sedmtl.report.figures.canvas import new_figure, save
from sedmtl.runtime import progress

PER_HOUR = np.linspace(0, 100, 2001)
SCENARIOS = ("precise timing", "no class confusions")
LINES = tuple(
    (colour, dashes)
    for dashes in ("-", "--", ":")
    for colour in ("#440154", "#e07b00", "#1f9e89", "#b5367a", "#4c72b0", "#767676")
)
"""Colours that also differ in lightness, first with solid, then with dashed lines."""


def draw_score_curves(folder: Path, rows: Sequence[Row], *, force: bool | None = None) -> None:
    """Write the figures of `score_curves` to a folder; raises as `save` does."""
    figures = list(score_curves(rows))
    n_times = Counter(data.file_name for data, _ in figures)
    for data, figure in figures:
        clips = f"_{data.folds}_{data.digest[:6]}" if n_times[data.file_name] > 1 else ""
        path = folder / f"psds_{data.file_name}{clips}.png"
        save(figure, path, force=force)
        progress.say(f"curves: {path}")


def score_curves(rows: Sequence[Row]) -> Iterator[tuple[ScoredData, Figure]]:
    """Yield one figure per scored data: each network with localisation metrics, mean over folds."""
    for data, group in by_data(row for row in rows if row.measured):
        yield data, _draw(data.title, group)


def _draw(title: str, rows: Sequence[Row]) -> Figure:
    figure = new_figure(13, 5.8, dpi=110)
    for i, axis in enumerate(figure.subplots(1, 2, sharey=True)):
        for name, row, (colour, dashes) in zip(names_of(rows), rows, cycle(LINES), strict=False):
            folds = [(fold.psds1, fold.psds2)[i] for fold in row.measured]
            value = np.mean([fold.value for fold in folds])
            rate = np.mean([_staircase(fold) for fold in folds], axis=0)
            label = f"{value:.3f}  {name}"
            axis.step(PER_HOUR, rate, where="post", label=label, color=colour, linestyle=dashes)
        axis.set_title(f"scenario {i + 1}: {SCENARIOS[i]}", loc="left")
        axis.set_xlabel("effective false positives per hour")
        axis.set_xlim(0, PER_HOUR[-1])
        axis.spines[["top", "right"]].set_visible(False)
        # Below the axes, where it cannot cover a curve.
        axis.legend(title=f"PSDS{i + 1}", alignment="left", frameon=False, ncols=2,
                    loc="upper left", bbox_to_anchor=(-0.05, -0.13))  # fmt: skip
    figure.axes[0].set_ylim(bottom=0)  # both axes, after all curves are drawn
    figure.axes[0].set_ylabel("effective true positive rate")
    figure.suptitle(title, fontsize=14)
    return figure


def _staircase(curve: Psds) -> npt.NDArray[np.float64]:
    """The curve's value at each of `PER_HOUR`."""
    at = np.searchsorted(curve.efpr, PER_HOUR, side="right") - 1
    values: npt.NDArray[np.float64] = curve.etpr[at]
    return values
