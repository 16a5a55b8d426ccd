"""The content of each panel of figure 3; `figure3` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sedmtl.report.figures.view import (
    Scale,
    Values,
    View,
    score_scale,
    spectrum_scale,
    weight_scale,
)

NO_ATTENTION = "this network has none"


@dataclass(frozen=True)
class Panel:
    """One map of one network.

    Attributes:
        title: Its number and name.
        unit: Unit of its values.
        values: (T, n) frames by mel bins, the lowest first, or by classes; None if there are none.
        reason: Why there are none.
        scale: The colour scale.
        cmap: Name of matplotlib's colour map; all have increasing lightness, for greyscale.
        of: The class that it shows, if only one.
        names: Names of its rows, if they are classes.
    """

    title: str
    unit: str
    values: Values | None
    reason: str
    scale: Scale
    cmap: str = "viridis"
    of: str | None = None
    names: Sequence[str] = ()


def panels_of(views: Sequence[View], shown: Sequence[str]) -> list[list[Panel]]:
    """The panels 1 to 6, from above, of each network.

    Args:
        views: Views of one clip by networks of the same classes.
        shown: Names of classes, from above; panels 3 and 4 show the first two.

    Returns:
        Six rows with one panel per network; each row has one colour scale, shared by rows 1 and
        2, and by rows 3 and 4.
    """
    return [*_spectra(views), *_mel_attention(views, shown), *_over_time(views, shown)]


def _spectra(views: Sequence[View]) -> list[list[Panel]]:
    scale, unit = spectrum_scale(views), "level (σ)"
    clips = [(view.inspection, view.no_decoder) for view in views]
    return [
        [
            Panel("1  log-mel, standardised", unit, clip.logmel, "", scale, "magma")
            for clip, _ in clips
        ],
        [
            Panel("2  reconstruction", unit, clip.reconstruction, reason, scale, "magma")
            for clip, reason in clips
        ],
    ]


def _mel_attention(views: Sequence[View], shown: Sequence[str]) -> list[list[Panel]]:
    title, unit, top = "attention over mel bins", "weight", list(shown[:2])
    maps = [view.inspection.mel_attention for view in views]
    scale = weight_scale(
        [each[view.rows(top)] for each, view in zip(maps, views, strict=True) if each is not None]
    )
    rows = [
        [
            Panel(f"{number}  {title}", unit, None if each is None else each[view.rows([name])[0]],
                  NO_ATTENTION, scale, of=name)
            for each, view in zip(maps, views, strict=True)
        ]
        for number, name in enumerate(top, start=3)
    ]  # fmt: skip
    alone = Panel(f"4  {title}", unit, None, "only one class is shown", scale)
    return rows if len(top) == 2 else [*rows, [alone] * len(views)]


def _over_time(views: Sequence[View], shown: Sequence[str]) -> list[list[Panel]]:
    weights = [_weights(view, shown) for view in views]
    weight, score = weight_scale([each for each in weights if each is not None]), score_scale(views)
    return [
        [
            Panel(f"5  {view.frame_title}", "score", view.inspection.frame[view.rows(shown)].T, "",
                  score, names=shown)
            for view in views
        ],
        [
            Panel("6  attention over time", "weight", each, NO_ATTENTION, weight, names=shown)
            for each in weights
        ],
    ]  # fmt: skip


def _weights(view: View, shown: Sequence[str]) -> Values | None:
    """Attention over time: (T, n), of the shown classes."""
    weights = view.inspection.time_attention
    return None if weights is None else weights[view.rows(shown)].T
