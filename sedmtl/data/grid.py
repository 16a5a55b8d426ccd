"""Where the windows of a recording and their frames lie, in training and in prediction.

Windows start at multiples of the feature hop, so that the frames of all of them lie on one grid:
frame k of a recording covers `hop` samples from `k * hop + (window - hop) / 2` on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from sedmtl.logmel import n_frames

OVERLAP_S = 1.0
"""What neighbouring windows share: windows of 10 s then cost 1.1 times the audio."""


@dataclass(frozen=True)
class Grid:
    """Where the frames and windows of a recording lie.

    Attributes:
        n_samples: Length of a window: the clips that the network was trained on.
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
        """That of clips whose log-mel has such a window and hop, `n_pooled` frames taken as one."""
        n_of_logmel, longer = n_frames(n_samples, window, hop), n_pooled * hop
        return cls(sample_rate, n_samples, n_of_logmel // n_pooled, window + longer - hop, longer)

    @property
    def hop_s(self) -> float:
        """Length of a frame."""
        return self.hop / self.sample_rate

    @property
    def first_edge_s(self) -> float:
        """Where the first frame of a recording begins."""
        return (self.window - self.hop) / 2 / self.sample_rate

    @property
    def edges_s(self) -> npt.NDArray[np.float64]:
        """(n_frames + 1,) where a clip's frames begin and end: the hop around each centre."""
        return self.edges_of(self.n_frames)

    def edges_of(self, n_frames: int) -> npt.NDArray[np.float64]:
        """(n_frames + 1,) where the first frames of a recording begin and end."""
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
        """Frames of a window whose centres lie in its audio; the others are of padding."""
        return min(max(math.ceil((n_samples - self.window / 2) / self.hop), 0), self.n_frames)

    def starts(self, n_samples: int) -> npt.NDArray[np.int64]:
        """The first frame of each window of a recording, which begins at 0 and `stride` apart.

        The last window is moved back so that it ends where the recording ends, to less than a hop:
        padding would be learned as sound. A recording shorter than a window has one.
        """
        last = max(n_samples - self.n_samples, 0) // self.hop
        return np.append(np.arange(0, last, self.stride), last)


def n_shared(hop_s: float, n_frames: int) -> int:
    """Frames that neighbouring windows of so many frames share; at most half of them."""
    return min(round(OVERLAP_S / hop_s), n_frames // 2)
