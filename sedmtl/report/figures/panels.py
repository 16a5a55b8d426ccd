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
    """A row of the figure: one map of each network, on a common colour scale.

    Attributes:
        titles: Number and name, by network.
        maps: (T, n) frames by mel bins, the lowest first, or by classes; None where a network has
            no such map.
        reasons: Why a network has no such map.
        unit: Unit of the values.
        scale: The colour scale.
        cmap: Name of matplotlib's colour map; all have increasing lightness, for greyscale.
        of: The class that the maps show, if only one.
        names: Names of the n rows, if they are classes.
    """

    titles: Sequence[str]
    maps: Sequence[Values | None]
    reasons: Sequence[str]
    unit: str
    scale: Scale
    cmap: str = "viridis"
    of: str | None = None
    names: Sequence[str] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no network has such a map."""
        return all(each is None for each in self.maps)


def panels_of(views: Sequence[View], shown: Sequence[str]) -> list[Panel]:
    """The panels 1 to 6, from above, with the names of classes to show.

    Panels 1 and 2 share a colour scale, and so do panels 3 and 4, which show the first two classes.
    """
    return [*_spectra(views), *_mel_attention(views, shown), *_over_time(views, shown)]


def _spectra(views: Sequence[View]) -> list[Panel]:
    scale, unit, n = spectrum_scale(views), "level (σ)", len(views)
    logmels = [view.inspection.logmel for view in views]
    decoded = [view.inspection.reconstruction for view in views]
    no_decoder = [view.no_decoder for view in views]
    return [
        Panel(["1  log-mel, standardised"] * n, logmels, [""] * n, unit, scale, "magma"),
        Panel(["2  reconstruction"] * n, decoded, no_decoder, unit, scale, "magma"),
    ]


def _mel_attention(views: Sequence[View], shown: Sequence[str]) -> list[Panel]:
    top, n = shown[:2], len(views)
    maps = [view.of_classes(view.inspection.mel_attention, top) for view in views]
    scale, panels = weight_scale(maps), []
    for i in range(2):
        titles, is_shown = [f"{3 + i}  attention over mel bins"] * n, i < len(top)
        of_class = [each[i] if each is not None and is_shown else None for each in maps]
        reasons = [NO_ATTENTION if is_shown else "only one class is shown"] * n
        of = top[i] if is_shown else None
        panels.append(Panel(titles, of_class, reasons, "weight", scale, of=of))
    return panels


def _over_time(views: Sequence[View], shown: Sequence[str]) -> list[Panel]:
    titles, n = [f"5  {view.frame_title}" for view in views], len(views)
    scores = [view.of_classes(view.inspection.frame, shown) for view in views]
    weights = [view.of_classes(view.inspection.time_attention, shown) for view in views]
    score, weight = score_scale(views), weight_scale(weights)
    titles_6, reasons = ["6  attention over time"] * n, [NO_ATTENTION] * n
    return [
        Panel(titles, _by_time(scores), [""] * n, "score", score, names=shown),
        Panel(titles_6, _by_time(weights), reasons, "weight", weight, names=shown),
    ]


def _by_time(maps: Sequence[Values | None]) -> list[Values | None]:
    """(n, T) -> (T, n)."""
    return [None if each is None else each.T for each in maps]
