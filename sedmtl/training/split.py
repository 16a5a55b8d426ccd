"""Which clips of a feature store are trained on, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.text import counted
from sedmtl.store import ClipTable, Rows

MIN_CLIPS = 5
"""To train on, and to choose an epoch by with any trust."""


NO_FOLD = 0
"""In place of a held-out fold: everything is trained on, but for inner validation."""


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
    def scored(self) -> dict[str, Rows]:
        """The parts that are scored after each epoch; without a held-out fold, validation alone."""
        parts = {"validation": self.validation, "held_out": self.held_out}
        return {part: rows for part, rows in parts.items() if len(rows)}

    @property
    def training_folds(self) -> Rows:
        """Train and validation: all that is not held out."""
        return np.sort(np.concatenate([self.train, self.validation]))


def split_rows(clips: ClipTable, held_out: int) -> Split:
    """Split the rows of a store.

    Inner validation is what the store reserved for it in the training folds. Where that holds no
    label at all, it is the whole fold after the held-out one: folds share no recordings.

    Args:
        clips: Of the store.
        held_out: The fold to report, or `NO_FOLD`.

    Raises:
        SedmtlError: That fold does not exist, the others leave too few clips, or a part has no
            label: then no epoch could be chosen, or nothing learnt or reported.
    """
    known = np.unique(clips.fold)
    if held_out not in (*known, NO_FOLD):
        listed = ", ".join(str(number) for number in known)
        raise SedmtlError(f"there is no fold {held_out} in this store: its folds are {listed}")
    training = clips.fold != held_out
    if training.sum() < MIN_CLIPS:
        holding = f"fold {held_out} leaves" if held_out else "there are"
        raise SedmtlError(
            f"{holding} {counted(training.sum(), 'clip')} to train on: expected at least "
            f"{MIN_CLIPS}"
        )
    validation = training & (clips.validation == 1)
    if not clips.target[validation].any() and len(known) > 2:
        following = known[np.searchsorted(known, held_out, "right") % len(known)]
        validation = clips.fold == following
    split = Split(
        train=np.flatnonzero(training & ~validation),
        validation=np.flatnonzero(validation),
        held_out=np.flatnonzero(~training),
    )
    _check_labels(split, clips)
    return split


def _check_labels(split: Split, clips: ClipTable) -> None:
    """Without a label, micro-P is NaN, which no epoch is better than."""
    uses = ("to train on", "for inner validation", "held out")
    for rows, use in zip(split, uses, strict=True):
        if not clips.target[rows].any() and not (use == "held out" and not len(rows)):
            raise SedmtlError(
                f"expected at least one of {len(rows)} clips {use} to have a label, "
                "found none: add recordings of its classes, or hold out another fold"
            )


def weakness(split: Split, clips: ClipTable, classes: Sequence[str]) -> str | None:
    """What makes the choice of an epoch uncertain, in a sentence; None if nothing does."""
    n_clips = len(split.validation)
    missing = np.flatnonzero(~clips.target[split.validation].any(axis=0))
    if len(missing):
        return (
            f"inner validation ({counted(n_clips, 'clip')}) holds no clip of {len(missing)} of "
            f"{len(classes)} classes, the first '{classes[missing[0]]}': they have no say in "
            "which epoch is kept"
        )
    if n_clips < MIN_CLIPS:
        return (
            f"inner validation has {counted(n_clips, 'clip')}: which epoch is kept is nearly left "
            "to chance"
        )
    return None


def shuffled(rows: Rows, seed: int, epoch: int) -> Rows:
    """The rows in the order of an epoch, which follows from seed and epoch alone."""
    return np.random.default_rng([seed, epoch]).permutation(rows)
