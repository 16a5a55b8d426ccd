"""Positions of an encoder's windows, and the frames kept from each: numbers and views only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sedmtl.data.audio import Audio
from sedmtl.store import EncoderCard


class Framing(NamedTuple):
    """Windows over a clip that is padded with silence.

    Each window is centred on the samples that its kept frames cover, so the first and last windows
    reach into silence.

    Attributes:
        window: Samples of a window.
        hop: Samples from one window to the next.
        n_frames: Frames that the encoder outputs per window.
        n_kept: The middle ones that are kept, which cover the hop.
    """

    window: int
    hop: int
    n_frames: int
    n_kept: int

    @classmethod
    def of(cls, card: EncoderCard, n_frames: int) -> Framing:
        """Framing of an encoder that outputs `n_frames` per window."""
        return cls(card.window, card.hop, n_frames, card.n_kept)

    @property
    def n_skipped(self) -> int:
        """Frames of a window before those that are kept."""
        return (self.n_frames - self.n_kept) // 2

    @property
    def n_before(self) -> int:
        """Samples of a window before those that its kept frames cover."""
        if self.n_frames == 1:  # computed from the whole window; it covers the hop in the middle
            return (self.window - self.hop) // 2
        return round(self.n_skipped * self.hop / self.n_kept)

    def n_windows(self, n_frames: int) -> int:
        """Windows needed for at least `n_frames` kept frames."""
        return -(-n_frames // self.n_kept)

    def span(self, n_windows: int) -> int:
        """Samples covered by `n_windows`."""
        return self.window + (n_windows - 1) * self.hop

    def cut(self, padded: Audio) -> Audio:
        """(span,) -> (n, window) views."""
        return np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]

    def windows(self, waveform: Audio, n_windows: int) -> Audio:
        """(n_windows, window) views of a clip (N,) padded with silence."""
        padded = np.zeros(self.span(n_windows), np.float32)
        inside = waveform[: len(padded) - self.n_before]
        padded[self.n_before : self.n_before + len(inside)] = inside
        return self.cut(padded)
