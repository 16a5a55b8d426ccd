"""Counts of custom recordings per class and fold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sedmtl.runtime.text import aligned, counted
from sedmtl.store import ClipTable

MOST = 100
"""Most classes in a table."""

FEW = 10
"""Classes with fewer recordings are warned about: some folds have too few to train or score."""


def table_of_classes(
    clips: ClipTable, classes: Sequence[str], lengths_s: Sequence[float] | None = None
) -> list[str]:
    """Format a table of recordings, seconds where known, and recordings in each fold, per class.

    If there are more than `MOST` classes, those with the fewest recordings are shown.

    Args:
        clips: The recordings.
        classes: C names.
        lengths_s: (n,) lengths of the recordings.
    """
    folds = np.unique(clips.fold)
    heads = ["class", "recordings", *(["seconds"] if lengths_s is not None else [])]
    heads += [f"fold {number}" for number in folds]
    everything = np.ones(len(clips.target), bool)
    holds = np.column_stack([clips.target > 0, ~clips.target.any(axis=1), everything])
    rows = []
    rarest = np.argsort(holds[:, : len(classes)].sum(axis=0), kind="stable")[:MOST]
    shown = [*sorted(rarest.tolist()), len(classes), len(classes) + 1]
    names = [*classes, "(none)", "all"]
    for name, held in ((names[column], holds[:, column]) for column in shown):
        if name == "(none)" and not held.any():
            continue
        seconds = [f"{np.asarray(lengths_s)[held].sum():,.0f}"] if lengths_s is not None else []
        in_folds = [f"{(held & (clips.fold == number)).sum():,}" for number in folds]
        rows.append([name, f"{held.sum():,}", *seconds, *in_folds])
    lines = aligned([heads, *rows])
    n_more = len(classes) - MOST
    return [*lines, f"and {counted(n_more, 'class')} with more recordings"] if n_more > 0 else lines


def rare_classes(clips: ClipTable, classes: Sequence[str]) -> str | None:
    """Warning that names the classes with few recordings; None if there are none."""
    counts = (clips.target > 0).sum(axis=0)
    rare = [f"{classes[i]} ({counts[i]})" for i in np.argsort(counts) if counts[i] < FEW]
    if not rare:
        return None
    more = f" and {len(rare) - 5} more" if rare[5:] else ""
    return (
        f"fewer than {FEW} recordings of {', '.join(rare[:5])}{more}: their scores will be "
        "uncertain, and differ from fold to fold"
    )
