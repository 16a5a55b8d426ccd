"""Where an encoder's windows lie, and which frames of them are kept: numbers and views."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sedmtl.data.audio import Audio
from sedmtl.store import EncoderCard


class Framing(NamedTuple):
    """Windows over a clip with silence around it.

    They lie around the centres of what they stand for, so those at the ends reach into silence.

    Attributes:
        window: Samples of a window.
        hop: Samples from one window to the next.
        n_frames: Frames that a window gives.
        n_kept: Frames of them that stand for the hop, in the middle.
    """

    window: int
    hop: int
    n_frames: int
    n_kept: int

    @classmethod
    def of(cls, card: EncoderCard, n_frames: int) -> Framing:
        """That of an encoder whose windows give so many frames."""
        return cls(card.window, card.hop, n_frames, card.n_kept)

    @property
    def n_skipped(self) -> int:
        """Frames of a window before those that are kept."""
        return (self.n_frames - self.n_kept) // 2

    @property
    def n_before(self) -> int:
        """Samples of a window before those that its kept frames stand for."""
        if self.n_frames == 1:  # of all the window: it stands for the hop in its middle
            return (self.window - self.hop) // 2
        return round(self.n_skipped * self.hop / self.n_kept)

    def n_windows(self, n_frames: int) -> int:
        """Windows that give so many kept frames, or a few more."""
        return -(-n_frames // self.n_kept)

    def span(self, n_windows: int) -> int:
        """Samples under so many windows."""
        return self.window + (n_windows - 1) * self.hop

    def cut(self, padded: Audio) -> Audio:
        """(span,) -> (n, window) views."""
        return np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]

    def windows(self, waveform: Audio, n_windows: int) -> Audio:
        """(n_windows, window) views of a clip (N,) with silence around it."""
        padded = np.zeros(self.span(n_windows), np.float32)
        inside = waveform[: len(padded) - self.n_before]
        padded[self.n_before : self.n_before + len(inside)] = inside
        return self.cut(padded)
