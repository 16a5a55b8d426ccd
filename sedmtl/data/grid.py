"""Positions of a recording's windows and their frames, in training and in prediction.

Windows start at multiples of the feature hop, so that all their frames lie on one grid: frame k of
a recording covers `hop` samples starting at `k * hop + (window - hop) / 2`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from sedmtl.logmel import n_frames

OVERLAP_S = 1.0
"""Overlap of neighbouring windows: with windows of 10 s, computation grows to 1.1 times."""


@dataclass(frozen=True)
class Grid:
    """Positions of a recording's frames and windows.

    Attributes:
        n_samples: Length of a window, the clip length the network was trained on.
        n_frames: Frames of a window.
        window: Samples that a frame is computed from.
        hop: Samples from one frame to the next.
    """

    sample_rate: int
    n_samples: int
    n_frames: int
    window: int
    hop: int

    @classmethod
    def of(cls, sample_rate: int, n_samples: int, window: int, hop: int, n_pooled: int = 1) -> Self:
        """Grid of clips by the window and hop of their log-mel, with `n_pooled` frames merged."""
        n_of_logmel, longer = n_frames(n_samples, window, hop), n_pooled * hop
        return cls(sample_rate, n_samples, n_of_logmel // n_pooled, window + longer - hop, longer)

    @property
    def hop_s(self) -> float:
        """Length of a frame, in seconds."""
        return self.hop / self.sample_rate

    @property
    def first_edge_s(self) -> float:
        """Start of a recording's first frame, in seconds."""
        return (self.window - self.hop) / 2 / self.sample_rate

    @property
    def edges_s(self) -> npt.NDArray[np.float64]:
        """(n_frames + 1,) edges of a clip's frames: each frame is the hop around its centre."""
        return self.edges_of(self.n_frames)

    def edges_of(self, n_frames: int) -> npt.NDArray[np.float64]:
        """(n_frames + 1,) edges of the first frames of a recording."""
        first = (self.window - self.hop) / 2
        return (first + np.arange(n_frames + 1) * self.hop) / self.sample_rate

    @property
    def n_shared(self) -> int:
        """Frames that neighbouring windows share; at most half of a window's."""
        return n_shared(self.hop_s, self.n_frames)

    @property
    def stride(self) -> int:
        """Frames from one window to the next."""
        return self.n_frames - self.n_shared

    def frames_within(self, n_samples: int) -> int:
        """Frames of a window whose centres lie in its audio; the others are padding."""
        return min(max(math.ceil((n_samples - self.window / 2) / self.hop), 0), self.n_frames)

    def starts(self, n_samples: int) -> npt.NDArray[np.int64]:
        """First frame of each window of a recording: multiples of `stride` from 0.

        The last window is moved back to end less than a hop before the recording ends, since the
        network would learn padding as sound. A recording shorter than a window has one window.
        """
        last = max(n_samples - self.n_samples, 0) // self.hop
        return np.append(np.arange(0, last, self.stride), last)


def n_shared(hop_s: float, n_frames: int) -> int:
    """Frames that neighbouring windows of `n_frames` share; at most half of them."""
    return min(round(OVERLAP_S / hop_s), n_frames // 2)
