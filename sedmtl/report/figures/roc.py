"""The score curves of networks on one store: true positive rate over false positives per hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from sedmtl.metrics.psds import Psds
from sedmtl.report.figures.canvas import new_figure

PER_HOUR = np.linspace(0, 100, 2001)
SCENARIOS = ("precise timing", "no class confusions")
LINES = tuple(
    (colour, dashes)
    for dashes in ("-", "--", ":")
    for colour in ("#440154", "#e07b00", "#1f9e89", "#b5367a", "#4c72b0", "#767676")
)
"""Colours that also differ in lightness; then the same, dashed."""


def psd_roc(curves: Mapping[str, tuple[Sequence[Psds], Sequence[Psds]]], title: str) -> Figure:
    """Draw the curves of the polyphonic sound detection score, one line per network.

    Args:
        curves: By network name, the curves of scenarios 1 and 2 for each fold; their mean over
            folds is drawn.
        title: Shown on top.
    """
    figure = new_figure(13, 5.8, dpi=110)
    for scenario, axis in enumerate(figure.subplots(1, 2, sharey=True)):
        for (name, by_scenario), (colour, dashes) in zip(curves.items(), cycle(LINES)):
            folds = by_scenario[scenario]
            value = np.mean([fold.value for fold in folds])
            rate = np.mean([_staircase(fold) for fold in folds], axis=0)
            label = f"{value:.3f}  {name}"
            axis.step(PER_HOUR, rate, where="post", label=label, color=colour, linestyle=dashes)
        axis.set_title(f"scenario {scenario + 1}: {SCENARIOS[scenario]}", loc="left")
        axis.set_xlabel("effective false positives per hour")
        axis.set_xlim(0, PER_HOUR[-1])
        axis.spines[["top", "right"]].set_visible(False)
        # Below the axes, where it cannot cover a curve.
        axis.legend(title=f"PSDS{scenario + 1}", alignment="left", frameon=False, ncols=2,
                    loc="upper left", bbox_to_anchor=(-0.05, -0.13))  # fmt: skip
    figure.axes[0].set_ylim(bottom=0)  # both axes, after all curves are drawn
    figure.axes[0].set_ylabel("effective true positive rate")
    figure.suptitle(title, fontsize=14)
    return figure


def _staircase(curve: Psds) -> npt.NDArray[np.float64]:
    """The curve's value at each of `PER_HOUR`."""
    values: npt.NDArray[np.float64] = curve.etpr[
        np.searchsorted(curve.efpr, PER_HOUR, side="right") - 1
    ]
    return values
