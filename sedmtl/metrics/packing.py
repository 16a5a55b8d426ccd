"""Packs recordings of different lengths into few time lines of equal length, for the metrics.

This saves the memory of padding each to the longest. Gaps between recordings and at the end of a
time line have the score -inf, which is never active.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from sedmtl.metrics.annotation import Annotation, Seconds, Whole

Scores = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Packing:
    """Positions of recordings on time lines.

    Attributes:
        line: (n,) time line of each recording.
        first: (n,) its first frame there.
        n_frames: (n,) its number of frames.
        edges_s: (T + 1,) frame boundaries of a time line.
    """

    line: Whole
    first: Whole
    n_frames: Whole
    edges_s: Seconds

    @classmethod
    def of(cls, n_frames: Sequence[int], edges_s: Seconds) -> Self:
        """Pack recordings; if all have the same length, each has its own time line.

        Args:
            n_frames: (n,) frames of each recording.
            edges_s: (t + 1,) equidistant frame boundaries of one of them.
        """
        lengths = np.array(n_frames, np.int64)
        hop_s = float(edges_s[-1] - edges_s[0]) / (len(edges_s) - 1)
        # A truth may start before the first frame and end after the last.
        n_between = math.ceil(edges_s[0] / hop_s) + 2
        n_longest = int(lengths.max(initial=1))
        line, first = np.zeros_like(lengths), np.zeros_like(lengths)
        n_lines, n_used = 0, n_longest
        for i in np.argsort(-lengths, kind="stable"):
            begin = n_used + n_between
            if begin + lengths[i] > n_longest:
                n_lines, begin = n_lines + 1, 0
            line[i], first[i], n_used = n_lines - 1, begin, begin + lengths[i]
        if n_longest != len(edges_s) - 1:
            edges_s = edges_s[0] + np.arange(n_longest + 1) * hop_s
        return cls(line, first, lengths, edges_s)

    def annotation(self, events: Annotation) -> Annotation:
        """Move the events of recordings to the time lines."""
        starts_s = self.edges_s[self.first] - self.edges_s[0]
        moved = events.shifted(starts_s[events.clip])
        return replace(moved, clip=self.line[events.clip])

    def frames(self, lines: Scores | Sequence[Scores]) -> Scores:
        """Scores of recordings (…, t) -> scores of time lines (n_lines, …, T)."""
        if isinstance(lines, np.ndarray) and not self.first.any():
            return lines
        shape = (int(self.line.max(initial=-1)) + 1, *lines[0].shape[:-1], len(self.edges_s) - 1)
        packed = np.full(shape, -np.inf, lines[0].dtype)
        for scores, line, first in zip(lines, self.line, self.first, strict=True):
            packed[line, ..., first : first + scores.shape[-1]] = scores
        return packed
