"""A recording of any length as windows of a network's clip length, and their scores as one.

Neighbouring windows share about a second (`data.grid`), over which the scores pass from one to the
other. Arrays in, arrays out: nothing here knows of files or networks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.data.audio import Audio, conform, is_silent
from sedmtl.data.grid import Grid

Scores = npt.NDArray[np.float32]


class Window(NamedTuple):
    """A part of a recording, ready for the network.

    Attributes:
        start: Its first frame in the recording.
        n_frames: How many of its frames are of audio; fewer than the network's if it is padded.
        waveform: (n_samples,), peak 0.5.
        end: Samples of the recording that it reaches; all of them if it is the last.
        is_last: Whether the recording ends with it.
        is_silent: Whether its audio was too quiet, before it was scaled, to hold anything.
    """

    start: int
    n_frames: int
    waveform: Audio
    end: int
    is_last: bool
    is_silent: bool


def cut(blocks: Iterable[Audio], grid: Grid) -> Iterator[Window]:
    """Cut a recording, in pieces of any length, into windows; at most two and a piece are held.

    A window comes as soon as the recording is a hop longer than it. The last one is moved back so
    that it ends where the recording ends, to less than a hop. A recording that is shorter than a
    window is padded with silence.
    """
    shift = grid.stride * grid.hop
    # `held` begins with frame `start`, whose window `is_out` or not yet; `waiting` comes after it.
    start, held, is_out = 0, np.zeros(0, np.float32), False
    waiting, n_held = [held], 0
    for block in blocks:
        waiting.append(block)
        n_held += len(block)
        while n_held >= grid.n_samples + (shift if is_out else grid.hop):
            held = np.concatenate(waiting)
            if is_out:
                start, held = start + grid.stride, held[shift:]
            else:
                yield _window(held, start, grid)
            is_out = not is_out
            waiting, n_held = [held], len(held)
    held = np.concatenate(waiting)
    n_left = max(n_held - grid.n_samples, 0) // grid.hop
    last = _window(held[n_left * grid.hop :], start + n_left, grid)
    yield last._replace(end=start * grid.hop + n_held, is_last=True)


def _window(held: Audio, start: int, grid: Grid) -> Window:
    waveform = conform(held, grid.n_samples)
    n_audio_frames = min(len(held), grid.n_samples)
    end = start * grid.hop + n_audio_frames
    n_frames = grid.frames_within(n_audio_frames)
    return Window(start, n_frames, waveform, end, False, is_silent(held[: grid.n_samples]))


class CrossFade:
    """Joins the frame scores of a recording's windows.

    Over the last `n_shared` frames before a window takes over, its weight grows linearly and that
    of what came before falls, so that weights sum to one: a constant stays that constant. Frames
    come out as soon as no later window reaches them: all but the last `n_shared` at once, since the
    last window, which is moved back over more frames than it needs, changes no more of them.
    """

    def __init__(self, n_classes: int, n_shared: int) -> None:
        self._n_shared, self._start = n_shared, 0
        self._held = np.zeros((n_classes, 0), np.float32)

    def push(self, start: int, frame: Scores) -> Scores:
        """Take the next window's scores (C, t), which reach as far as the last one's at least.

        Its first frame lies at least `n_shared` frames before the end of the last window.

        Returns:
            (C, t') scores of the next frames.
        """
        assert start <= self._start, "windows share fewer frames than they should"
        frame, n_held = frame[:, self._start - start :], self._held.shape[1]
        share = np.arange(1, n_held + 1, dtype=np.float32) / np.float32(n_held + 1)
        faded = self._held + share * (frame[:, :n_held] - self._held)
        joined = np.concatenate([faded, frame[:, n_held:]], axis=1)
        n_done = max(0, joined.shape[1] - self._n_shared)
        self._start += n_done
        done, self._held = np.split(joined, [n_done], axis=1)
        return done

    def finish(self) -> Scores:
        """(C, t) scores of the frames that are left."""
        return self._held


def join(
    frame: npt.NDArray[np.floating],
    start: npt.NDArray[np.integer],
    n_frames: npt.NDArray[np.integer],
    n_shared: int,
) -> npt.NDArray[np.floating]:
    """Frame scores of all windows of a recording (W, C, T) -> (C, t).

    Args:
        frame: Of each window.
        start: (W,) its first frame in the recording.
        n_frames: (W,) how many of its frames are of audio.
        n_shared: Frames that neighbouring windows share.
    """
    fade = CrossFade(frame.shape[1], n_shared)
    each = zip(frame, start.tolist(), n_frames.tolist(), strict=True)
    parts = [fade.push(first, scores[:, :n]) for scores, first, n in each]
    return np.concatenate([*parts, fade.finish()], axis=1)
