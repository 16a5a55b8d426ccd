"""Frame scores of whole stored recordings, joined across windows as in `predict`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from sedmtl.inference.detector import Detector
from sedmtl.inference.postprocess import PostProcessing, gate, shape
from sedmtl.inference.windows import join
from sedmtl.models.bag import highest
from sedmtl.store import Store, WindowTable

Scores = npt.NDArray[np.floating]
Lines = Scores | Sequence[Scores]
"""Scores of n recordings: (n, …, T), or n arrays (…, t) if they differ in length."""


@dataclass(frozen=True)
class Timelines:
    """A network's scores for each window of some recordings.

    Attributes:
        frame: (n_rows, C, T) frame scores in [0, 1].
        clip: (n_rows, C) clip scores in [0, 1].
        windows: The rows of each recording; None if each has one row.
        n_shared: Frames that adjacent windows share.
    """

    frame: npt.NDArray[np.floating]
    clip: npt.NDArray[np.float32]
    windows: WindowTable | None
    n_shared: int = 0

    def of_clips(self, clips: npt.NDArray[np.integer]) -> Timelines:
        """The timelines of some recordings, in the given order."""
        if self.windows is None:
            return Timelines(self.frame[clips], self.clip[clips], None)
        rows, _ = self.windows.rows_of(clips)
        windows = self.windows.of_clips(clips)
        return Timelines(self.frame[rows], self.clip[rows], windows, self.n_shared)

    def joined(self, settings: PostProcessing | None = None) -> Lines:
        """Join windows to frame scores (C, t) of each recording; gated if the settings are."""
        frame = self.frame if settings is None else gate(self.frame, self.clip, settings)
        if self.windows is None:
            return frame
        start, clip = self.windows.start, self.windows.clip
        first = np.flatnonzero(np.diff(clip, prepend=-1)).tolist()
        ends = [*first[1:], len(frame)]
        # If a network pools time, starts are rounded down, and some windows share a frame less.
        steps = np.diff(start)[np.diff(clip) == 0]
        n_shared = min(self.n_shared, frame.shape[-1] - int(steps.max(initial=0)))
        return [
            join(frame[a:b], start[a:b], self.windows.n_frames[a:b], n_shared)
            for a, b in zip(first, ends, strict=True)
        ]


def score_recordings(
    detector: Detector, store: Store, clips: npt.NDArray[np.integer]
) -> tuple[Timelines, npt.NDArray[np.float32]]:
    """Score recordings of a store; returns timelines and clip scores (n, C) of recordings."""
    rows, which = store.clips.rows_of(clips)
    clip, frame = detector.network.score(store.read, rows)
    if store.clips.windows is None:
        return Timelines(frame, clip, None), clip
    windows = store.clips.windows.of_clips(clips).pooled(detector.card.network.time_stride)
    whole = highest(torch.from_numpy(clip), torch.from_numpy(which), len(clips)).numpy()
    return Timelines(frame, clip, windows, detector.card.grid.n_shared), whole


def shaped(lines: Lines, settings: PostProcessing, hop_s: float) -> Lines:
    """Apply `postprocess.shape` to every recording."""
    if isinstance(lines, np.ndarray):
        return shape(lines, settings, hop_s)
    return [shape(line, settings, hop_s) for line in lines]


def peaks(lines: Lines) -> Scores:
    """The highest score of every recording: (n, T), or n arrays (t,) -> (n,)."""
    if isinstance(lines, np.ndarray):
        highest_each: Scores = lines.max(axis=-1)
        return highest_each
    return np.array([line.max(initial=0) for line in lines])


def of_class(lines: Lines, label: int) -> Lines:
    """The scores of one class: (n, C, T) -> (n, T), or n arrays (C, t) -> n arrays (t,)."""
    return lines[:, label] if isinstance(lines, np.ndarray) else [line[label] for line in lines]
