"""Splits a feature store into training, validation and held-out clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.text import counted
from sedmtl.store import ClipTable, Rows

MIN_CLIPS = 5
"""Minimum for training, and for a reliable choice of the epoch."""


NO_FOLD = 0
"""Fold number that holds nothing out: all clips but inner validation are trained on."""


class Split(NamedTuple):
    """Rows of a store by use.

    Attributes:
        train: Rows that the network is trained on.
        validation: Inner part of the training folds that selects the epoch and controls the
            learning rate; the held-out fold influences neither.
        held_out: The fold that is reported.
    """

    train: Rows
    validation: Rows
    held_out: Rows

    @property
    def scored(self) -> dict[str, Rows]:
        """Non-empty parts to score after each epoch: validation, and the held-out fold if any."""
        parts = {"validation": self.validation, "held_out": self.held_out}
        return {part: rows for part, rows in parts.items() if len(rows)}

    @property
    def training_folds(self) -> Rows:
        """Training and validation rows: everything that is not held out."""
        return np.sort(np.concatenate([self.train, self.validation]))


def split_rows(clips: ClipTable, held_out: int) -> Split:
    """Split the rows of a store.

    Inner validation is the part of the training folds that the store reserved for it. If that has
    no labels, it is the whole fold after the held-out one, since folds share no recordings.

    Args:
        clips: Clips of the store.
        held_out: The fold to report, or `NO_FOLD`.

    Raises:
        SedmtlError: The fold does not exist, the others have too few clips, or a part has no
            labels.
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
    """Refuse parts without labels, whose micro-P would be NaN."""
    uses = ("to train on", "for inner validation", "held out")
    for rows, use in zip(split, uses, strict=True):
        if not clips.target[rows].any() and not (use == "held out" and not len(rows)):
            raise SedmtlError(
                f"expected at least one of {len(rows)} clips {use} to have a label, "
                "found none: add recordings of its classes, or hold out another fold"
            )


def weakness(split: Split, clips: ClipTable, classes: Sequence[str]) -> str | None:
    """Warning that inner validation is too small to select the epoch reliably; None if not."""
    n_clips = len(split.validation)
    missing = np.flatnonzero(~clips.target[split.validation].any(axis=0))
    if len(missing):
        return (
            f"inner validation ({counted(n_clips, 'clip')}) holds no clip of {len(missing)} of "
            f"{len(classes)} classes, the first '{classes[missing[0]]}': they do not influence "
            "which epoch is kept"
        )
    if n_clips < MIN_CLIPS:
        return (
            f"inner validation has {counted(n_clips, 'clip')}: which epoch is kept is nearly random"
        )
    return None


def shuffled(rows: Rows, seed: int, epoch: int) -> Rows:
    """Shuffle rows for an epoch; the order depends only on the seed and the epoch."""
    return np.random.default_rng([seed, epoch]).permutation(rows)
