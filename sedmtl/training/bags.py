"""Recordings of several windows, as an epoch learns from them.

Their weak labels say that a class is somewhere in the recording: the highest clip score of its
windows is what is compared with the label (`models.bag`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sedmtl.models.bag import highest
from sedmtl.runtime import distributed
from sedmtl.store import Rows, WindowTable

MAX_WINDOWS = 4
"""Windows of a recording per step: their activations are what takes memory."""


class Draw(NamedTuple):
    """Windows of some recordings.

    Attributes:
        rows: (W,) the windows to learn from; `which`: of which of the recordings each is.
        rest: (R,) their other windows; `which_rest`: likewise.
    """

    rows: Rows
    which: Rows
    rest: Rows
    which_rest: Rows


class Bags:
    """Draws windows, and remembers the scores of all.

    An epoch takes up to `MAX_WINDOWS` windows of a recording, drawn anew. The others count with the
    clip scores that they had when they were last drawn: a label is not taught to windows without
    its event while one is known that has it.

    Args:
        windows: Of the store.
        n_classes: C.
        seed: Of the run.
        device: Where scores are.
    """

    def __init__(
        self, windows: WindowTable, n_classes: int, seed: int, device: torch.device
    ) -> None:
        self.windows, self._seed, self._epoch = windows, seed, 0
        self.known = torch.zeros(len(windows.clip), n_classes, device=device)
        self._new = torch.zeros_like(self.known)
        self._is_new = torch.zeros(len(windows.clip), 1, device=device)

    def begin(self, epoch: int) -> None:
        """Draw for an epoch from now on."""
        self._epoch = epoch
        self._new, self._is_new = torch.zeros_like(self._new), torch.zeros_like(self._is_new)

    def draw(self, clips: Rows) -> Draw:
        """Windows of recordings, which follow from seed, epoch and recording alone."""
        rows, which = self.windows.rows_of(clips)
        taken = np.ones(len(rows), bool)
        n_each = np.bincount(which, minlength=len(clips))
        first = np.cumsum(n_each) - n_each
        for i in np.flatnonzero(n_each > MAX_WINDOWS):
            rng = np.random.default_rng([self._seed, self._epoch, int(clips[i])])
            left_out = rng.permutation(n_each[i])[MAX_WINDOWS:]
            taken[first[i] + left_out] = False
        return Draw(rows[taken], which[taken], rows[~taken], which[~taken])

    def known_of(self, drawn: Draw, n_clips: int) -> Tensor:
        """(n_clips, C) highest known score of the windows that are not drawn; 0 without any."""
        rest, which = (torch.from_numpy(each) for each in (drawn.rest, drawn.which_rest))
        device = self.known.device
        return highest(self.known[rest.to(device)], which.to(device), n_clips)

    def remember(self, rows: Tensor, clip: Tensor) -> None:
        """Keep the clip scores (W, C) of windows for the epochs to come."""
        self._new[rows], self._is_new[rows] = clip.float(), 1.0

    def end(self) -> None:
        """What each process remembers of the epoch is known to all."""
        scores, n_times = distributed.add_up(self._new), distributed.add_up(self._is_new)
        self.known = torch.where(n_times > 0, scores, self.known)
