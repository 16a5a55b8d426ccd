"""A recording of any length as windows of a network's clip length, and their scores as one.

Windows start at multiples of the feature hop, so that the frames of all of them lie on one grid:
frame k of a recording covers `hop` samples from `k * hop + (window - hop) / 2` on. Neighbours
share about a second, over which the scores pass from one to the other. Arrays in, arrays out:
nothing here knows of files or networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.data.audio import Audio, conform

Scores = npt.NDArray[np.float32]

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
        first = (self.window - self.hop) / 2
        return (first + np.arange(self.n_frames + 1) * self.hop) / self.sample_rate

    @property
    def stride(self) -> int:
        """Frames from one window to the next; at least half of a window's."""
        n_shared = round(OVERLAP_S * self.sample_rate / self.hop)
        return self.n_frames - min(n_shared, self.n_frames // 2)

    def frames_within(self, n_samples: int) -> int:
        """Frames of a window whose centres lie in its audio; the others are of padding."""
        return min(max(math.ceil((n_samples - self.window / 2) / self.hop), 0), self.n_frames)


class Window(NamedTuple):
    """A part of a recording, ready for the network.

    Attributes:
        start: Its first frame in the recording.
        n_frames: How many of its frames are of audio; fewer than the network's if it is padded.
        waveform: (n_samples,), peak 0.5.
        end: Samples of the recording that it reaches; all of them if it is the last.
        is_last: Whether the recording ends with it.
    """

    start: int
    n_frames: int
    waveform: Audio
    end: int
    is_last: bool


def cut(blocks: Iterable[Audio], grid: Grid) -> Iterator[Window]:
    """Cut a recording, in pieces of any length, into windows; at most two and a piece are held.

    The last window is moved back so that it ends where the recording ends, to less than a hop. A
    recording that is shorter than a window is padded with silence.
    """
    shift = grid.stride * grid.hop
    start, held = 0, np.zeros(0, np.float32)  # `held` begins with frame `start`
    for block in blocks:
        held = np.concatenate([held, block])
        # Only the next window tells that this one is not the last.
        while len(held) >= shift + grid.n_samples:
            yield _window(held, start, grid)
            start, held = start + grid.stride, held[shift:]
    n_left = max(len(held) - grid.n_samples, 0) // grid.hop
    if n_left:
        yield _window(held, start, grid)
    last = _window(held[n_left * grid.hop :], start + n_left, grid)
    yield last._replace(end=start * grid.hop + len(held), is_last=True)


def _window(held: Audio, start: int, grid: Grid) -> Window:
    waveform = conform(held, grid.n_samples)
    n_audio_frames = min(len(held), grid.n_samples)
    end = start * grid.hop + n_audio_frames
    return Window(start, grid.frames_within(n_audio_frames), waveform, end, is_last=False)


class CrossFade:
    """Joins the frame scores of a recording's windows.

    Where a window overlaps what came before, its weight grows linearly over the overlap and the
    other's falls, so that weights sum to one: a constant stays that constant. Frames come out as
    soon as no later window reaches them.
    """

    def __init__(self, n_classes: int) -> None:
        self._start, self._held = 0, np.zeros((n_classes, 0), np.float32)

    def push(self, start: int, frame: Scores) -> Scores:
        """Take the next window's scores (C, t), which reach as far as the last one's at least.

        Its first frame lies within the last window or right behind it.

        Returns:
            (C, t') scores of the frames before `start` that were not returned yet.
        """
        done, shared = np.split(self._held, [start - self._start], axis=1)
        n_shared = shared.shape[1]
        share = np.arange(1, n_shared + 1, dtype=np.float32) / np.float32(n_shared + 1)
        faded = shared + share * (frame[:, :n_shared] - shared)
        self._start, self._held = start, np.concatenate([faded, frame[:, n_shared:]], axis=1)
        return done

    def finish(self) -> Scores:
        """(C, t) scores of the frames that are left."""
        return self._held
