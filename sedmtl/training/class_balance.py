"""Class balancing: by resampling clips, or by weighting the loss."""

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
    """Draw an epoch of `len(rows)` clips with every class equally often.

    The classes take turns (round robin), with unlabelled clips as one more class; a clip drawn for
    one class may also have others. Each class passes through its clips in random order, reshuffled
    after each pass, and the next epoch continues where this one stops: over the epochs, all clips
    of a class are drawn equally often.

    Args:
        rows: (n,) rows to draw from.
        target: (…, C) labels of all rows of the store, 0 or 1.
        seed: The run's seed.
        epoch: From 1; the epoch and the seed alone determine the clips.
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
    """Elements at `places` of an endless sequence of passes over `group`, each reshuffled."""
    passes, at = np.divmod(places, len(group))
    chosen = [
        np.random.default_rng([*seeds, each]).permutation(group)[at[passes == each]]
        for each in np.unique(passes).tolist()
    ]
    return np.concatenate(chosen) if chosen else group[:0]


def chances(target: Targets) -> Chances:
    """(n, C) labels -> (n,) sampling probabilities of clips that make all classes equally likely.

    A clip of several classes adds up its shares; unlabelled clips count as one more class.
    """
    holds = _groups_of(target)
    weights = (holds / np.maximum(holds.sum(axis=0), 1)).sum(axis=1)
    return np.asarray(weights / weights.sum(), np.float64)


def _groups_of(target: Targets) -> npt.NDArray[np.bool_]:
    """(n, C) -> (n, C + 1): membership in each class; the last column marks unlabelled clips."""
    return np.column_stack([target > 0, ~target.any(axis=1)])


class ClassWeights(NamedTuple):
    """Weights that balance positive and negative clips of each class in the detection loss.

    With n clips, n_c of them of class c: n / (2 n_c) for positives and n / (2 (n - n_c)) for
    negatives (scikit-learn's "balanced", per class). They sum to n over the clips, as without
    weights. A class that all clips or none have gets weight 1.

    Attributes:
        present: (C,) weights of positives.
        absent: (C,) weights of negatives.
    """

    present: Tensor
    absent: Tensor

    @classmethod
    def of(cls, target: Tensor) -> ClassWeights:
        """Compute from the labels (n, C) of an epoch; a clip drawn twice counts twice."""
        n_clips, n_present = len(target), target.sum(dim=0, dtype=torch.float32)
        n_absent = n_clips - n_present
        varies = (n_present > 0) & (n_absent > 0)
        weights = (n_clips / (2 * count) for count in (n_present, n_absent))
        return cls(*(torch.where(varies, weight, 1.0) for weight in weights))

    def at(self, target: Tensor) -> Tensor:
        """(B, C) weights for labels (B, C)."""
        return torch.where(target > 0, self.present, self.absent)
