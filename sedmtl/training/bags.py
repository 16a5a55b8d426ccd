"""Recordings of several windows, as an epoch learns from them.

Their weak labels say that a class is somewhere in the recording: the highest clip score of its
windows is what is compared with the label (`models.bag`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sedmtl.runtime import distributed
from sedmtl.store import Rows, WindowTable

MAX_WINDOWS = 4
"""Windows of a recording per step: their activations are what takes memory and time."""


class Bags:
    """Draws windows, and remembers the scores of all.

    An epoch takes up to `MAX_WINDOWS` windows of a recording. For half of them, at most, these are
    the windows that had the highest scores for the recording's classes when they were last drawn: a
    label is taught where its event has been found. The others are drawn at random.

    Args:
        windows: Of the store.
        target: (n, C) labels of the recordings.
        seed: Of the run.
        device: Where scores are.
    """

    def __init__(
        self,
        windows: WindowTable,
        target: npt.NDArray[np.uint8],
        seed: int,
        device: torch.device,
    ) -> None:
        self.windows, self._target, self._seed, self._epoch = windows, target, seed, 0
        n_rows = len(windows.clip)
        self.known = torch.full((n_rows, target.shape[1]), -1.0)
        self._new = torch.zeros(n_rows, target.shape[1], device=device)
        self._n_new = torch.zeros(n_rows, 1, device=device)

    def begin(self, epoch: int) -> None:
        """Draw for an epoch from now on."""
        self._epoch = epoch
        self._new, self._n_new = torch.zeros_like(self._new), torch.zeros_like(self._n_new)

    def draw(self, clips: Rows) -> tuple[Rows, Rows]:
        """Windows of recordings, which follow from seed, epoch, recording and what is known of it.

        Returns:
            (W,) rows, and of which of the clips each is.
        """
        rows, which = self.windows.rows_of(clips)
        taken = np.ones(len(rows), bool)
        n_each = np.bincount(which, minlength=len(clips))
        first = np.cumsum(n_each) - n_each
        for i in np.flatnonzero(n_each > MAX_WINDOWS):
            of_clip = slice(first[i], first[i] + n_each[i])
            taken[of_clip] = self._chosen(int(clips[i]), rows[of_clip])
        return rows[taken], which[taken]

    def _chosen(self, clip: int, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which windows of a long recording to learn from."""
        rng = np.random.default_rng([self._seed, self._epoch, clip])
        labels = rng.permutation(np.flatnonzero(self._target[clip]))[: MAX_WINDOWS // 2]
        known = self.known[torch.from_numpy(rows)].numpy()[:, labels]
        chosen = np.zeros(len(rows), bool)
        chosen[known.argmax(axis=0)[known.max(axis=0) >= 0]] = True
        others = rng.permutation(np.flatnonzero(~chosen))
        chosen[others[: MAX_WINDOWS - chosen.sum()]] = True
        return chosen

    def remember(self, rows: Tensor, clip: Tensor) -> None:
        """Keep the clip scores (W, C) of windows for the epochs to come."""
        self._new.index_add_(0, rows, clip.float())
        self._n_new.index_add_(0, rows, torch.ones_like(clip[:, :1], dtype=torch.float32))

    def end(self) -> None:
        """What each process remembers of the epoch is known to all."""
        scores, n_times = (distributed.add_up(each).cpu() for each in (self._new, self._n_new))
        # The mean of a recording that was drawn several times, in whatever processes.
        self.known = torch.where(n_times > 0, scores / n_times, self.known)
