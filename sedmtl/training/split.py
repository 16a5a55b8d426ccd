"""Which clips of a feature store are trained on, and in which order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import Rows


class Split(NamedTuple):
    """Rows of a store by their use.

    Attributes:
        train: What the network learns from.
        validation: An inner part of the training folds, to choose the epoch and the learning
            rate by. The held-out fold has no say in them.
        held_out: The fold that is reported.
    """

    train: Rows
    validation: Rows
    held_out: Rows

    @property
    def training_folds(self) -> Rows:
        """Train and validation: all that is not held out."""
        return np.sort(np.concatenate([self.train, self.validation]))


def split_rows(fold: npt.NDArray[np.uint8], held_out: int, seed: int) -> Split:
    """Split the rows of a store.

    The inner validation is a random tenth of the training folds; of small sets, where a tenth
    would rank too few clips, 24 clips, but never more than a fifth.

    Args:
        fold: (n,) fold of each row, from 1.
        held_out: The fold to report.
        seed: Decides the inner validation.

    Raises:
        SedmtlError: That fold does not exist, or the others leave too few clips.
    """
    known = np.unique(fold)
    if held_out not in known:
        listed = ", ".join(str(number) for number in known)
        raise SedmtlError(f"there is no fold {held_out} in this store: its folds are {listed}")
    training = np.flatnonzero(fold != held_out)
    if len(training) < 5:
        raise SedmtlError(
            f"fold {held_out} leaves {len(training)} clips to train on: expected at least 5"
        )
    n_validation = max(1, min(max(len(training) // 10, 24), len(training) // 5))
    shuffled = np.random.default_rng([seed, held_out]).permutation(training)
    return Split(
        train=np.sort(shuffled[n_validation:]),
        validation=np.sort(shuffled[:n_validation]),
        held_out=np.flatnonzero(fold == held_out),
    )


def shuffled(rows: Rows, seed: int, epoch: int) -> Rows:
    """The rows in the order of an epoch, which follows from seed and epoch alone."""
    return np.random.default_rng([seed, epoch]).permutation(rows)
