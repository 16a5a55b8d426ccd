"""Test of an encoder's file with noise and silence when it is opened."""

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
"""Largest difference between vectors of batched and single windows, relative to the largest value.

It equals two steps of float16. Summation in another order causes less, a mean over the batch more.
"""


class Trial(NamedTuple):
    """Result of the test.

    Attributes:
        vectors: (n, T, D) vectors of windows of noise.
        n_at_once: Windows that the model can process in a batch without mixing them.
    """

    vectors: Frames
    n_at_once: int


def try_out(graph: Graph, layout: InputLayout, axes: str | None, path: Path) -> Trial:
    """Run a model on different windows, one by one and as a batch.

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
    """Whether windows give the same vectors as a batch and one by one."""
    try:
        together = vectors_of(graph, layout, windows, axes)
    except SedmtlError:  # a layer inside supports only one window
        return False
    if together.shape != alone.shape:
        return False
    return bool(np.abs(together - alone).max() <= SAME * np.abs(alone).max())
