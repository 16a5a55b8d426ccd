"""Cuts recordings of any length into windows of the clip length, and joins the windows' scores.

Adjacent windows share about a second (`data.grid`), over which their scores are cross-faded. Arrays
in, arrays out: this module is independent of files and networks.
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
    """A window of a recording, ready for the network.

    Attributes:
        start: Its first frame in the recording.
        n_frames: Number of frames with audio; fewer than the network's if it is padded.
        waveform: (n_samples,), peak 0.5.
        end: Its last sample in the recording, exclusive; the recording's length if it is the last.
        is_last: Whether it is the last window.
        is_silent: Whether its audio, before scaling, was too quiet to contain anything.
    """

    start: int
    n_frames: int
    waveform: Audio
    end: int
    is_last: bool
    is_silent: bool


def cut(blocks: Iterable[Audio], grid: Grid) -> Iterator[Window]:
    """Cut a recording, in blocks of any length, into windows; holds at most two and a block.

    A window is yielded once a further hop of audio has arrived. The last one is moved back so that
    it ends within a hop of the recording's end. A recording shorter than a window is padded with
    silence.
    """
    shift = grid.stride * grid.hop
    # `held` starts at frame `start`; `is_out` tells whether that window was yielded. `waiting`
    # follows it.
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
    """Joins the frame scores of a recording's windows by linear cross-fades.

    Over `n_shared` frames, the weight of the new window rises linearly while that of the previous
    one falls; weights sum to one, so constants are preserved. Frames are returned as soon as no
    later window can change them, which is at once for all but the last `n_shared`, since the last
    window, although moved back over more frames, changes no more than these.
    """

    def __init__(self, n_classes: int, n_shared: int) -> None:
        self._n_shared, self._start = n_shared, 0
        self._held = np.zeros((n_classes, 0), np.float32)

    def push(self, start: int, frame: Scores) -> Scores:
        """Add the next window's scores (C, t), which must not end before the previous one's.

        Its first frame must be at least `n_shared` frames before the end of the previous window.

        Returns:
            (C, t') scores of the next final frames.
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
        """(C, t) scores of the remaining frames."""
        return self._held


def join(
    frame: npt.NDArray[np.floating],
    start: npt.NDArray[np.integer],
    n_frames: npt.NDArray[np.integer],
    n_shared: int,
) -> npt.NDArray[np.floating]:
    """Join the frame scores of all windows of a recording: (W, C, T) -> (C, t).

    Args:
        frame: Scores of each window.
        start: (W,) first frame of each window in the recording.
        n_frames: (W,) number of frames with audio in each window.
        n_shared: Frames that adjacent windows share.
    """
    fade = CrossFade(frame.shape[1], n_shared)
    each = zip(frame, start.tolist(), n_frames.tolist(), strict=True)
    parts = [fade.push(first, scores[:, :n]) for scores, first, n in each]
    return np.concatenate([*parts, fade.finish()], axis=1)
