"""Figures: creation, typography and files."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.outputs import write_output
from sedmtl.runtime.progress import say

PRINT: dict[Any, Any] = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 6.5,
    "axes.linewidth": 0.5,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "axes.titlepad": 2.5,
    "axes.labelpad": 2,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "hatch.linewidth": 0.5,
    "text.parse_math": False,  # a name may hold a dollar sign
}
"""Sizes in points, for a figure printed at full size: two columns of a journal."""

FILES: dict[Any, Any] = {"pdf.fonttype": 42, "svg.hashsalt": "sedmtl"}
"""Settings for files: text in a PDF stays text, and SVG ids are reproducible."""

UNDATED: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""Metadata without dates, so that figures of the same data have the same bytes."""


def new_figure(width_in: float, height_in: float, dpi: int) -> Figure:
    """An empty figure with automatic layout."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained", dpi=dpi)
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path, *, force: bool | None = None) -> None:
    """Write a figure; the extension determines the format.

    Raises:
        SedmtlError: The format is unknown, or the file cannot be written or is the user's.
    """
    write_output(path, encode_for(figure, path), force=force)


def encode_for(figure: Figure, path: Path) -> bytes:
    """Encode a figure in the format of a path's extension.

    Raises:
        SedmtlError: The format is unknown.
    """
    try:
        return encode(figure, path.suffix.removeprefix(".").lower())
    except ValueError as error:
        raise SedmtlError(
            f"cannot write the picture {path}: expected a name that ends in .png, .pdf or .svg"
        ) from error


def encode(figure: Figure, kind: str) -> bytes:
    """Encode a figure as png, pdf or svg; print matplotlib's warnings about missing glyphs."""
    content = io.BytesIO()
    with rc_context(FILES), warnings.catch_warnings(record=True) as warned:
        figure.savefig(content, format=kind, metadata=UNDATED.get(kind, {}))
    for message in dict.fromkeys(str(each.message) for each in warned):
        say(f"warning: {message}")
    return content.getvalue()


def encode_map(values: npt.NDArray[np.floating], low: float, high: float, cmap: str) -> bytes:
    """Encode values (height, width), top row first, as a PNG with one pixel per value."""
    content = io.BytesIO()
    imsave(content, values, vmin=low, vmax=high, cmap=cmap, format="png")
    return content.getvalue()


def colours(name: str) -> npt.NDArray[np.uint8]:
    """The 256 colours of a colour map, from lowest to highest: (256, 3), sRGB."""
    table: npt.NDArray[np.float64] = matplotlib.colormaps[name](np.arange(256))[:, :3]
    return np.round(255 * table).astype(np.uint8)
