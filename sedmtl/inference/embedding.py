"""Embeddings of recordings: encoder output as features for other classifiers or for search."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from sedmtl.data.audio import Audio
from sedmtl.data.grid import Grid
from sedmtl.inference.windows import CrossFade, cut

Values = npt.NDArray[np.float32]

BATCH_SIZE = 8
"""Windows per batch."""


@dataclass(frozen=True)
class Embedding:
    """The encoder's output over a recording, averaged over mel bins.

    Attributes:
        frame: (T, D) over time, with D encoder channels.
        frame_edges_s: (T + 1,) frame boundaries in the recording, in seconds.
    """

    frame: Values
    frame_edges_s: npt.NDArray[np.float64]

    @property
    def clip(self) -> Values:
        """(D,) mean over the frames: one embedding of the whole recording."""
        mean: Values = self.frame.mean(axis=0)
        return mean


def embed(blocks: Iterable[Audio], encode: Callable[[Audio], Values], grid: Grid) -> Embedding:
    """Embed a recording of any length, window by window.

    Args:
        blocks: Mono audio at the network's rate.
        encode: Conformed waveforms (B, n_samples) -> (B, D, T).
        grid: Grid of windows and frames.
    """
    parts, join = [], None
    every = cut(blocks, grid)
    while windows := list(islice(every, BATCH_SIZE)):
        encoded = encode(np.stack([window.waveform for window in windows]))
        join = join or CrossFade(encoded.shape[1], grid.n_shared)
        for window, frame in zip(windows, encoded, strict=True):
            parts.append(join.push(window.start, frame[:, : max(window.n_frames, 1)]))
    assert join is not None, "a recording has a window"
    frame = np.concatenate([*parts, join.finish()], axis=1).T
    return Embedding(np.ascontiguousarray(frame), grid.edges_of(len(frame)))
