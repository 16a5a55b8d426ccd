"""Recordings of different lengths on few time lines of one length, as the metrics take them.

Padding each to the longest would take its memory for all. Between two recordings of a time line,
and at its end, frames have the score -inf: these are never active.
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
    """Where recordings lie.

    Attributes:
        line: (n,) the time line of each recording.
        first: (n,) its first frame there.
        n_frames: (n,) how many it has.
        edges_s: (T + 1,) where the frames of a time line begin and end.
    """

    line: Whole
    first: Whole
    n_frames: Whole
    edges_s: Seconds

    @classmethod
    def of(cls, n_frames: Sequence[int], edges_s: Seconds) -> Self:
        """Pack recordings of so many frames; equal ones have a time line each.

        Args:
            n_frames: (n,) of each recording.
            edges_s: (t + 1,) edges of the frames of one of them, all equally long.
        """
        lengths = np.array(n_frames, np.int64)
        hop_s = float(edges_s[-1] - edges_s[0]) / (len(edges_s) - 1)
        # A truth may begin before the first frame, and end after the last.
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
        """The events of the recordings, on the time lines."""
        starts_s = self.edges_s[self.first] - self.edges_s[0]
        moved = events.shifted(starts_s[events.clip])
        return replace(moved, clip=self.line[events.clip])

    def frames(self, lines: Scores | Sequence[Scores]) -> Scores:
        """Scores of each recording (…, t) -> of the time lines (n_lines, …, T)."""
        if isinstance(lines, np.ndarray) and not self.first.any():
            return lines
        shape = (int(self.line.max(initial=-1)) + 1, *lines[0].shape[:-1], len(self.edges_s) - 1)
        packed = np.full(shape, -np.inf, lines[0].dtype)
        for scores, line, first in zip(lines, self.line, self.first, strict=True):
            packed[line, ..., first : first + scores.shape[-1]] = scores
        return packed
