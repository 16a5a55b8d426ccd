"""Rare classes learned from as much as common ones: by the order of clips, or by weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sedmtl.data.draw import Chances
from sedmtl.store import Rows

Targets = npt.NDArray[np.uint8]


def balanced(rows: Rows, target: Targets, seed: int, epoch: int) -> Rows:
    """The clips of an epoch, as many as there are, in which the classes take turns.

    Each class that occurs, and the clips without any label as one more, gives one clip in turn,
    which has the class and may have others. A class goes through its clips in random order, anew
    each time it has been through them, and goes on in the next epoch where it was: over the
    epochs, all its clips are drawn equally often.

    Args:
        rows: (n,) to draw from.
        target: (…, C) of 0 and 1, of all rows of the store.
        seed: Of the run.
        epoch: From 1; the clips follow from it and the seed alone.
    """
    groups = {
        number: rows[holds]
        for number, holds in enumerate(_groups_of(target[rows]).T)
        if holds.any()
    }
    turns = np.arange((epoch - 1) * len(rows), epoch * len(rows))
    drawn = [
        _stream(group, turns[turns % len(groups) == place] // len(groups), [seed, number])
        for place, (number, group) in enumerate(groups.items())
    ]
    return np.random.default_rng([seed, epoch]).permutation(np.concatenate(drawn))


def _stream(group: Rows, places: npt.NDArray[np.int64], seeds: list[int]) -> Rows:
    """What lies at some places of an endless sequence of a group's clips, each pass reordered."""
    passes, at = np.divmod(places, len(group))
    chosen = [
        np.random.default_rng([*seeds, each]).permutation(group)[at[passes == each]]
        for each in np.unique(passes).tolist()
    ]
    return np.concatenate(chosen) if chosen else group[:0]


def chances(target: Targets) -> Chances:
    """(n, C) labels of clips -> (n,) chances of drawing each that make the classes equally likely.

    Those of a clip of several classes add up; clips without a label are a class of their own.
    """
    holds = _groups_of(target)
    weights = (holds / np.maximum(holds.sum(axis=0), 1)).sum(axis=1)
    return np.asarray(weights / weights.sum(), np.float64)


def _groups_of(target: Targets) -> npt.NDArray[np.bool_]:
    """(n, C) -> (n, C + 1): clips with each class, and those without any."""
    return np.column_stack([target > 0, ~target.any(axis=1)])


class ClassWeights(NamedTuple):
    """Weights by which clips with and without a class count the same in the detection's loss.

    Of n clips, n_c with class c: n / (2 n_c) for those with it, n / (2 (n - n_c)) for those
    without ("balanced" in scikit-learn, of each class by itself). The sum over the clips is n, as
    it is without weights. A class that all clips or none have is not weighted.

    Attributes:
        present: (C,) where a clip has the class.
        absent: (C,) where it has not.
    """

    present: Tensor
    absent: Tensor

    @classmethod
    def of(cls, target: Tensor) -> ClassWeights:
        """From the labels (n, C) of the clips of an epoch: what is drawn twice counts twice."""
        n_clips, n_present = len(target), target.sum(dim=0, dtype=torch.float32)
        n_absent = n_clips - n_present
        varies = (n_present > 0) & (n_absent > 0)
        weights = (n_clips / (2 * count) for count in (n_present, n_absent))
        return cls(*(torch.where(varies, weight, 1.0) for weight in weights))

    def at(self, target: Tensor) -> Tensor:
        """Of labels (B, C): (B, C)."""
        return torch.where(target > 0, self.present, self.absent)
