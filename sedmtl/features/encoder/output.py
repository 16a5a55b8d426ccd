"""Conversion of an encoder's output to vectors over time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sedmtl.data.audio import Audio
from sedmtl.features.encoder.input_layout import InputLayout
from sedmtl.features.encoder.runtimes.graph import Graph
from sedmtl.runtime.errors import SedmtlError

Frames = npt.NDArray[np.floating[Any]]


def vectors_of(graph: Graph, layout: InputLayout, windows: Audio, axes: str | None) -> Frames:
    """Windows (n, window) -> (n, T, D); other axes of size 1 are dropped.

    Raises:
        SedmtlError: The runtime fails, or the output does not have that form.
    """
    output = graph.run(layout.arrange(windows))
    n_windows = len(windows)
    if not np.issubdtype(output.dtype, np.floating) or output.size % n_windows:
        raise SedmtlError(
            f"the encoder's output should be floats for each window, found {output.dtype} of shape "
            f"{output.shape} for {n_windows}: name another one with features.encoder.output"
        )
    has_batch = output.ndim > 1 and output.shape[0] == n_windows
    sizes = [size for size in output.shape[has_batch:] if size != 1]
    if len(sizes) > 2:
        raise SedmtlError(
            f"the encoder's output should have axes of frames and of dimensions, found the shape "
            f"{output.shape}: name another one with features.encoder.output"
        )
    n_frames, n_dims = (1, 1, *sizes)[-2:]
    if output.size != n_windows * n_frames * n_dims:
        raise SedmtlError(
            f"the encoder's output should have an axis of windows, found the shape {output.shape} "
            f"for {n_windows}"
        )
    vectors: Frames = output.reshape(n_windows, n_frames, n_dims)
    return vectors.swapaxes(1, 2) if axes == "DT" and len(sizes) == 2 else vectors


def frames_of_hop(n_frames: int, hop: int, window: int, rate: int) -> int:
    """Number of frames in the middle of a window that cover its hop.

    Raises:
        SedmtlError: The hop is not a multiple of a frame.
    """
    if n_frames == 1:
        return 1
    exact = n_frames * hop / window
    if round(exact) < 1 or abs(exact - round(exact)) > 1e-3:
        raise SedmtlError(
            f"features.encoder.hop_s should be a multiple of {window / rate / n_frames:g} s: a "
            f"window of {window / rate:g} s has {n_frames} frames; found {hop / rate:g}"
        )
    return round(exact)
