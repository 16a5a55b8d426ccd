"""Table of the windows into which longer recordings are cut, one per row of a store."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

WINDOW_COLUMNS = ("clip", "start", "n_frames", "duration_s")


@dataclass(frozen=True)
class WindowTable:
    """The rows of a store whose clips are recordings of any length: their windows, in order.

    Attributes:
        clip: (n_rows,) the clip of each row, ascending.
        start: (n_rows,) first frame of the row in the recording.
        n_frames: (n_rows,) number of frames with audio; the others are padding.
        duration_s: (n_clips,) length of each recording.
    """

    clip: npt.NDArray[np.int32]
    start: npt.NDArray[np.int32]
    n_frames: npt.NDArray[np.int32]
    duration_s: npt.NDArray[np.float64]

    def check(self, n_clips: int) -> None:
        """Check that every clip has windows, in order.

        Raises:
            ValueError: A clip has none, they are out of order, or a number is impossible.
        """
        n_rows = len(self.clip)
        lengths = (len(self.start), len(self.n_frames), len(self.duration_s))
        if lengths != (n_rows, n_rows, n_clips):
            raise ValueError("the columns of its windows have different lengths")
        step, is_first = np.diff(self.clip, prepend=-1), np.diff(self.clip, prepend=-1) == 1
        fits = ((step == 0) | is_first) & (self.n_frames >= 0)
        fits &= np.where(is_first, self.start == 0, np.diff(self.start, prepend=0) >= 0)
        if not fits.all() or self.clip[-1:].tolist() != [n_clips - 1]:
            raise ValueError("its windows are not those of its clips, in order")
        if not ((self.duration_s > 0) & (self.duration_s < np.inf)).all():
            raise ValueError("a recording has an impossible length")

    def rows_of(
        self, clips: npt.NDArray[np.integer]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows of some clips, and for each row the index of its clip among these."""
        first = np.searchsorted(self.clip, clips)
        n_each = np.searchsorted(self.clip, clips, "right") - first
        which = np.repeat(np.arange(len(clips)), n_each)
        before = np.cumsum(n_each) - n_each
        return np.arange(len(which)) + (first - before)[which], which

    def of_clips(self, clips: npt.NDArray[np.integer]) -> WindowTable:
        """The windows of some clips, renumbered in the order given."""
        rows, which = self.rows_of(clips)
        columns = (self.start[rows], self.n_frames[rows], self.duration_s[clips])
        return WindowTable(which.astype(np.int32), *columns)

    def pooled(self, n: int) -> WindowTable:
        """The same windows in frames that are `n` times as long; starts are rounded down."""
        n_frames = -(-self.n_frames // n)
        return replace(self, start=self.start // n, n_frames=n_frames)
