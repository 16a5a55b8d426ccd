"""Task predictions for a clip as content of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from sedmtl.report import figures as plots
from sedmtl.report.curves import curves_of
from sedmtl.report.embedding import data_uri
from sedmtl.report.figures.view import Scale, Values, View, spectrum_scale

N_MASKS = 2
"""Classes whose masks are shown."""


def encoded_map(values: Values, scale: Scale, cmap: str) -> Markup:
    """Encode values (height, width), top row first, as a picture in a page."""
    return data_uri(plots.encode_map(values, scale.low, scale.high, cmap), "image/png")


def predicted(view: View, shown: Sequence[str]) -> dict[str, Any]:
    """Maps, curves and scenes that a network predicts, and masks of the first shown classes."""
    tasks, maps = view.inspection.tasks, []
    if tasks.denoised is not None:
        maps.append(("Log-mel without the scene", tasks.denoised, spectrum_scale([view]), "magma"))
    masks = view.of_classes(tasks.masks, shown[:N_MASKS])
    for name, mask in zip(shown, () if masks is None else masks, strict=False):
        maps.append((f"Mask of {name}, from 0 to 1", mask, Scale(0, 1), "viridis"))
    return {
        "maps": [
            {"title": title, "picture": encoded_map(values.T[::-1], scale, cmap)}
            for title, values, scale, cmap in maps
        ],
        "curves": curves_of(view),
        "scenes": tasks.likeliest_scenes(),
    }
