"""What an encoder's file is tried with when it is opened: noise, and silence."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from sedmtl.data.audio import Audio
from sedmtl.features.encoder.input_layout import InputLayout
from sedmtl.features.encoder.output import Frames, vectors_of
from sedmtl.features.encoder.runtimes.graph import Graph
from sedmtl.runtime.errors import SedmtlError

LOUD = 0.1
"""RMS of the noise."""

SAME = 1e-3
"""Windows that go in together may change each other's vectors by this part of the largest value.

It is two steps of float16. Sums in another order change them by less, a mean over the windows by
more.
"""


class Trial(NamedTuple):
    """What came out.

    Attributes:
        vectors: (n, T, D) of windows of noise.
        n_at_once: Windows that the graph takes together without mixing them.
    """

    vectors: Frames
    n_at_once: int


def try_out(graph: Graph, layout: InputLayout, axes: str | None, path: Path) -> Trial:
    """Run a graph on different windows, each alone and all together.

    Raises:
        SedmtlError: The runtime fails, or vectors are not finite.
    """
    rng = np.random.default_rng(0)
    n_noises = max(1, graph.n_at_once - 1)
    windows = np.zeros((1 + n_noises, layout.n_samples), np.float32)  # the first is silent
    windows[1:] = rng.normal(scale=LOUD, size=(n_noises, layout.n_samples))
    alone = [vectors_of(graph, layout, window[None], axes) for window in windows]
    for kind, vectors in zip(("silence", *n_noises * ["noise"]), alone, strict=True):
        if not np.isfinite(vectors).all():
            raise SedmtlError(f"{path} gives NaN or infinity for {kind}: it cannot be used")
    each = np.concatenate(alone)
    is_apart = graph.n_at_once > 1 and _are_same(graph, layout, windows, axes, each)
    return Trial(each[1:], graph.n_at_once if is_apart else 1)


def _are_same(
    graph: Graph, layout: InputLayout, windows: Audio, axes: str | None, alone: Frames
) -> bool:
    """Whether windows give together what they give alone."""
    try:
        together = vectors_of(graph, layout, windows, axes)
    except SedmtlError:  # something inside it knows but one window
        return False
    if together.shape != alone.shape:
        return False
    return bool(np.abs(together - alone).max() <= SAME * np.abs(alone).max())
