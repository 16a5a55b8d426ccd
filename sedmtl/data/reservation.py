"""Choice of recordings for inner validation: stratified by class, none shared with training.

A recording is reserved as a whole, with all clips that were cut from it. The rule is a greedy
form of iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011): the rarest
class comes first, because it leaves the least choice. scikit-learn's StratifiedGroupKFold supports
only one class per clip.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SHARE = 0.1
"""Share of the training clips used for inner validation."""

FEW, LARGEST_SHARE = 24, 0.2
"""A tenth of a small set is too few clips to rank: then validation gets 24, but at most a fifth."""

MIN_FOLDS = 2
"""Folds in which each class is reserved, so that one remains whichever fold is held out."""


def validation_share(n_clips: int, n_folds: int) -> float:
    """Share of each fold's clips used for inner validation, with one fold held out."""
    n_training = n_clips * (n_folds - 1) / n_folds
    return min(max(SHARE, FEW / n_training), LARGEST_SHARE)


def reserve(
    target: npt.NDArray[np.uint8],
    recordings: Sequence[str],
    fold: npt.NDArray[np.uint8],
    share: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """Choose the clips whose recordings are reserved.

    About `share` of each class's clips are reserved, but if possible at least one recording in each
    of two folds. In each fold, each class, the clips without any label and the fold as a whole keep
    at least one recording for training.

    Args:
        target: (n, C) of 0 and 1.
        recordings: (n,) names; a recording must lie in one fold.
        fold: (n,) from 1.
        share: Share of the clips to reserve, in [0, 1].
        rng: Chooses between equally suitable recordings; the order of the rows has no effect.

    Returns:
        (n,) whether the clip is reserved.
    """
    unlabelled = ~target.any(axis=1, keepdims=True)
    # The last column counts all clips and fills the folds that have too few.
    holds = np.hstack([target > 0, unlabelled, np.ones_like(unlabelled)])
    names, first, recording = np.unique(recordings, return_index=True, return_inverse=True)
    n_clips = np.zeros((len(names), holds.shape[1]), int)
    np.add.at(n_clips, recording, holds)
    reservation = _Reservation(n_clips, fold[first].astype(int) - 1)
    order = rng.permutation(len(names))
    n_folds = [MIN_FOLDS] * (holds.shape[1] - 1) + [len(np.unique(fold))]
    for column in np.argsort((n_clips > 0).sum(axis=0), kind="stable").tolist():
        reservation.fill(column, order, share, n_folds[column])
    return reservation.reserved[recording]


class _Reservation:
    """The recordings reserved so far.

    Args:
        n_clips: (R, C) number of clips of each recording that hold each class.
        home: (R,) fold of each recording, from 0.
    """

    def __init__(self, n_clips: npt.NDArray[np.int_], home: npt.NDArray[np.int_]) -> None:
        self.reserved = np.zeros(len(home), bool)
        self._n_clips, self._home = n_clips, home
        shape = (int(home.max()) + 1, n_clips.shape[1])
        self._n_reserved = np.zeros(shape, int)  # clips (F, C)
        self._n_in_fold = np.zeros(shape, int)
        np.add.at(self._n_in_fold, home, n_clips)
        self._n_kept = np.zeros(shape, int)  # recordings (F, C)
        np.add.at(self._n_kept, home, n_clips > 0)

    def fill(
        self, column: int, order: npt.NDArray[np.int_], share: float, n_folds_wanted: int
    ) -> None:
        """Reserve recordings of a class until it reaches its share and is in enough folds."""
        n_wanted = share * self._n_in_fold[:, column].sum()
        queues: list[list[int]] = [[] for _ in self._n_kept]
        for recording in order[self._n_clips[order, column] > 0]:
            if not self.reserved[recording]:
                queues[self._home[recording]].append(int(recording))
        while any(queues):
            n_reserved = self._n_reserved[:, column]
            lacks_folds = (n_reserved > 0).sum() < n_folds_wanted
            if n_reserved.sum() >= n_wanted and not lacks_folds:
                break
            fold = min(
                (fold for fold, queue in enumerate(queues) if queue),
                key=lambda fold: self._n_ahead(fold, column, share),
            )
            recording = queues[fold].pop()
            n_then = n_reserved.sum() + self._n_clips[recording, column]
            # A recording of many clips may overshoot by more than the current shortfall.
            comes_nearer = n_then - n_wanted <= n_wanted - n_reserved.sum()
            if comes_nearer or (lacks_folds and not n_reserved[fold]):
                self._reserve(recording)

    def _n_ahead(self, fold: int, column: int, share: float) -> tuple[float, float]:
        """Clips by which a fold exceeds its share of the class, and of all clips."""
        ahead = self._n_reserved[fold] - share * self._n_in_fold[fold]
        return float(ahead[column]), float(ahead[-1])

    def _reserve(self, recording: int) -> None:
        """Reserve a recording, unless one of its classes would lose its last in this fold."""
        fold, is_held = self._home[recording], self._n_clips[recording] > 0
        if self._n_kept[fold, is_held].min() > 1:
            self.reserved[recording] = True
            self._n_kept[fold] -= is_held
            self._n_reserved[fold] += self._n_clips[recording]
