"""Coloured tables of a report: average precision and confusion by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from sedmtl.metrics.confusion import Confusion
from sedmtl.report.project.networks import Network

FULL_COLOUR = 0.5
"""Excess from which a cell has the full colour; few confusions are more frequent."""

N_PAIRS = 10
SURE = 2.0
"""Minimum excess of the listed pairs, in standard errors."""


class Cell(NamedTuple):
    """A number in a coloured table: `share` of the full colour, from 0 to 100."""

    text: str
    share: int
    title: str = ""
    is_diagonal: bool = False


def precision_table(title: str, group: Sequence[Network]) -> dict[str, Any]:
    """Average precision by class and network of a store, and the number of clips of each class."""
    first = group[0]
    n_clips = np.sum([run.scores.target.sum(axis=0, dtype=int) for run in first.runs], axis=0)
    rows = [
        (name, int(n_clips[i]), [_precision(float(n.row.per_class["ap"][i])) for n in group])
        for i, name in enumerate(first.row.classes)
    ]
    return {"title": title, "names": [n.name for n in group], "rows": rows}


def _precision(value: float) -> Cell:
    if math.isnan(value):
        return Cell("–", 0)
    return Cell(f"{value:.3f}".removeprefix("0"), round(100 * value))


def confusion_table(network: Network) -> dict[str, Any]:
    """How often each class is tagged, by true class, and the most significant confusions."""
    classes, found = network.row.classes, network.confusion()
    rows = [
        (name, [_confusion(found, classes, true, other) for other in range(len(classes))])
        for true, name in enumerate(classes)
    ]
    pairs = _surest(found, classes)
    return {"title": network.title, "classes": classes, "rows": rows, "pairs": pairs}


def _confusion(found: Confusion, classes: Sequence[str], true: int, other: int) -> Cell:
    excess, is_diagonal = float(found.excess[true, other]), true == other
    what = _describe(found, classes, true, other)
    if math.isnan(excess):
        return Cell("–", 0, what, is_diagonal)
    share = excess if is_diagonal else min(1.0, max(0.0, excess / FULL_COLOUR))
    return Cell(str(round(100 * excess)), round(100 * share), what, is_diagonal)


def _describe(found: Confusion, classes: Sequence[str], true: int, other: int) -> str:
    n, of = found.n_tagged[true, other], found.n_clips[true, other]
    if true == other:
        return f"{classes[true]}: tagged in {n} of the {of} clips that have it"
    base, base_of = found.n_tagged_without[true, other], found.n_clips_without[true, other]
    return (
        f"{classes[other]} tagged in {n} of {of} clips with {classes[true]}, "
        f"in {base} of {base_of} without"
    )


def _surest(found: Confusion, classes: Sequence[str]) -> list[str]:
    """The most significant confusions, most significant first."""
    sureness = found.sureness()
    sure = np.argwhere(np.nan_to_num(sureness) > SURE)
    order = sorted(sure.tolist(), key=lambda pair: -float(sureness[tuple(pair)]))
    return [_describe(found, classes, true, other) for true, other in order[:N_PAIRS]]
