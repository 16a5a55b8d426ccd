"""Multi-window recordings as bags: which windows an epoch trains on.

A weak label only says that a class occurs somewhere in the recording, so the label is compared
with the highest clip score over the recording's windows (`models.bag`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sedmtl.runtime import distributed
from sedmtl.store import Rows, WindowTable

MAX_WINDOWS = 4
"""Maximum windows per recording in a step: their activations dominate memory and time."""


class Bags:
    """Samples windows of recordings and remembers their scores.

    An epoch uses up to `MAX_WINDOWS` windows per recording. At most half of them are the windows
    that scored highest for the recording's classes when last drawn, so that a label is learned
    where its event was found. The rest are drawn at random.

    Args:
        windows: The store's window table.
        target: (n, C) labels of the recordings.
        seed: The run's seed.
        device: Device of the scores.
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
        """Start an epoch: draws depend on its number."""
        self._epoch = epoch
        self._new, self._n_new = torch.zeros_like(self._new), torch.zeros_like(self._n_new)

    def draw(self, clips: Rows) -> tuple[Rows, Rows]:
        """Draw windows; determined by the seed, epoch, recording and its remembered scores.

        Returns:
            (W,) rows, and for each the index of its recording in `clips`.
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
        """Mask of the windows of a long recording to train on."""
        rng = np.random.default_rng([self._seed, self._epoch, clip])
        labels = rng.permutation(np.flatnonzero(self._target[clip]))[: MAX_WINDOWS // 2]
        known = self.known[torch.from_numpy(rows)].numpy()[:, labels]
        chosen = np.zeros(len(rows), bool)
        chosen[known.argmax(axis=0)[known.max(axis=0) >= 0]] = True
        others = rng.permutation(np.flatnonzero(~chosen))
        chosen[others[: MAX_WINDOWS - chosen.sum()]] = True
        return chosen

    def remember(self, rows: Tensor, clip: Tensor) -> None:
        """Keep the clip scores (W, C) of windows for later epochs."""
        self._new.index_add_(0, rows, clip.float())
        self._n_new.index_add_(0, rows, torch.ones_like(clip[:, :1], dtype=torch.float32))

    def end(self) -> None:
        """End an epoch: share the remembered scores among all processes."""
        scores, n_times = (distributed.add_up(each).cpu() for each in (self._new, self._n_new))
        # Averaged where several draws, in any process, contained the window.
        self.known = torch.where(n_times > 0, scores / n_times, self.known)
