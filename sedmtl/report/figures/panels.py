"""The content of each panel of figure 3; `figure3` draws it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
class Curves:
    """Curves at the frames of the frame scores; None if the network does not predict them."""

    count: Values | None
    active: Values | None

    @property
    def names(self) -> list[str]:
        """Names of the curves that exist."""
        words = {"count of events": self.count, "activity": self.active}
        return [word for word, values in words.items() if values is not None]


@dataclass(frozen=True)
class Panel:
    """A row of the figure: one map per network, on a common colour scale.

    Without maps it is a line of text: why there are none, or the title alone.

    Attributes:
        titles: Number and name, by network.
        maps: (T, n) frames by mel bins, the lowest first, or by classes; None if a network has no
            such map.
        reasons: Why a network has no such map.
        cmap: Name of a matplotlib colour map; all have increasing lightness, for greyscale.
        of: The class that the maps show, if only one.
        names: Names of the n rows, if they are classes.
        curves: Curves of each network, instead of maps.
    """

    titles: Sequence[str]
    maps: Sequence[Values | None]
    reasons: Sequence[str]
    unit: str
    scale: Scale
    cmap: str = "viridis"
    of: str | None = None
    names: Sequence[str] = ()
    curves: Sequence[Curves] = ()

    @property
    def number(self) -> str:
        """The panel's number, from its titles."""
        return self.titles[0].partition(" ")[0]

    @property
    def is_empty(self) -> bool:
        """Whether no network has such a map or curve."""
        return all(each is None for each in self.maps) and not self.curves


def panels_of(views: Sequence[View], shown: Sequence[str]) -> list[Panel]:
    """Panels 1 to 6, from the top, for the classes to show.

    Panels 1 and 2 share a colour scale, and so do panels 3 and 4, which show the first two classes.
    """
    n, level, spectrum = len(views), "level (σ)", spectrum_scale(views)
    logmel = [view.inspection.logmel for view in views]
    decoded = [view.inspection.reconstruction for view in views]
    no_decoder = [view.no_decoder for view in views]
    frame = [_by_time(view, view.inspection.frame, shown) for view in views]
    frame_titles, score = [f"5  {view.frame_title}" for view in views], score_scale(views)
    time = [_by_time(view, view.inspection.time_attention, shown) for view in views]
    time_titles, weight = ["6  attention over time"] * n, weight_scale(time)
    return [
        Panel(["1  log-mel, standardised"] * n, logmel, [""] * n, level, spectrum, "magma"),
        Panel(["2  reconstruction"] * n, decoded, no_decoder, level, spectrum, "magma"),
        *_mel_attention(views, shown[:2]),
        Panel(frame_titles, frame, [""] * n, "score", score, names=shown),
        Panel(time_titles, time, [NO_ATTENTION] * n, "weight", weight, names=shown),
    ]


def _mel_attention(views: Sequence[View], top: Sequence[str]) -> Iterator[Panel]:
    n, maps = len(views), [view.of_classes(view.inspection.mel_attention, top) for view in views]
    scale = weight_scale(maps)
    for i in range(2):
        titles = [f"{3 + i}  attention over mel bins"] * n
        if i < len(top):
            of_class = [None if each is None else each[i] for each in maps]
            yield Panel(titles, of_class, [NO_ATTENTION] * n, "weight", scale, of=top[i])
        else:
            yield Panel(titles, [None] * n, ["only one class is shown"] * n, "weight", scale)


def _by_time(view: View, values: Values | None, names: Sequence[str]) -> Values | None:
    """(C, T) -> (T, n)."""
    of_classes = view.of_classes(values, names)
    return None if of_classes is None else of_classes.T
