"""How many of the events above a threshold are right, as far as they were heard.

Where the heard events were drawn from bands of scores, each stands for all proposals of its band.
Only verdicts on snippets that were drawn at random within their band count (`--by class` and
`new`): uncertain and suspicious ones are worse than the rest of their band.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.review.choice import bands
from sedmtl.review.verdicts import Review

Values = npt.NDArray[np.float64]

Z = 1.959964
"""Of a 95 % interval."""

AT_RANDOM = ("class", "new")
"""Ways of choosing that draw at random within a band."""

MIN_HEARD = 10
"""Verdicts of a class, below which its threshold stays: an interval of fewer is 50 points wide."""


class Estimate(NamedTuple):
    """The precision of a class above a threshold.

    Attributes:
        precision: Share of the events above the threshold that are right.
        low: Begin of the 95 % interval; `high`: its end.
        n_heard: Verdicts above the threshold.
    """

    threshold: float
    precision: float
    low: float
    high: float
    n_heard: int


def wilson(share: float, n: float) -> tuple[float, float]:
    """95 % interval of a share of n (Wilson, JASA 1927); n need not be whole, 0 gives [0, 1]."""
    centre = (share * n + Z**2 / 2) / (n + Z**2)
    half = Z / (n + Z**2) * math.sqrt(share * (1 - share) * n + Z**2 / 4)
    return max(0.0, centre - half), min(1.0, centre + half)


def estimate(threshold: float, score: Values, right: Values, weight: Values) -> Estimate:
    """The precision above a threshold, strictly.

    The interval is Wilson's for the effective number of verdicts under unequal weights, (Σw)²/Σw²
    (Kish, Survey Sampling, 1965).

    Args:
        threshold: In [0, 1).
        score: (n,) of the heard events.
        right: (n,) 1 if the event is of the class, 0 if not.
        weight: (n,) how many proposals each stands for.
    """
    above = score > threshold
    w = weight[above]
    if not len(w):
        return Estimate(threshold, math.nan, 0.0, 1.0, 0)
    share = float(w @ right[above] / w.sum())
    low, high = wilson(share, float(w.sum() ** 2 / (w @ w)))
    return Estimate(threshold, share, low, high, len(w))


def refit(
    score: Values, right: Values, weight: Values, min_precision: float | None = None
) -> Estimate | None:
    """The threshold of a class from what was heard of it.

    Every threshold between two heard scores is tried. Without `min_precision` the best F1 wins,
    where all right proposals, heard or not, are what could be found; with it, the lowest threshold
    whose interval lies at or above it. Ties go to the higher threshold.

    Returns:
        None if no threshold fits.
    """
    ranked = np.unique(score)
    lowest = max(float(ranked[0]) - 0.001, 0.0)  # nothing below it was heard
    tried = [lowest, *((ranked[:-1] + ranked[1:]) / 2).tolist()]
    found = [estimate(threshold, score, right, weight) for threshold in tried]
    if min_precision is not None:
        return next((each for each in found if each.low >= min_precision), None)
    n_right = float(weight @ right)
    if not n_right:
        return None

    def f1(each: Estimate) -> float:
        n_above = float(weight[score > each.threshold].sum())
        return 2 * each.precision * n_above / (n_above + n_right)

    return max(found, key=lambda each: (f1(each), each.threshold))


def refit_classes(
    reviews: Iterable[Review], network: str, min_precision: float | None = None
) -> dict[str, tuple[Estimate | None, int]]:
    """`refit` for each class that was heard among the events which a network proposed.

    Returns:
        By class, sorted: its threshold, None if no threshold fits or fewer than `MIN_HEARD` were
        heard; and how many were heard.
    """
    heard: dict[str, list[Review]] = {}
    for review in reviews:
        snippet = review.snippet
        is_event = snippet.run == network and snippet.onset_s is not None
        if is_event and snippet.by in AT_RANDOM and review.verdict != "unsure":
            heard.setdefault(snippet.label, []).append(review)
    return {
        label: (
            refit(*_arrays(heard[label]), min_precision)
            if len(heard[label]) >= MIN_HEARD
            else None,
            len(heard[label]),
        )
        for label in sorted(heard)
    }


def _arrays(reviews: Sequence[Review]) -> tuple[Values, Values, Values]:
    """Scores, whether they are right, and how many proposals each stands for."""
    score = np.array([each.snippet.score for each in reviews])
    right = np.array([float(each.verdict == "yes") for each in reviews])
    # Bands of several pools, such as of other recordings, are told apart by their sizes.
    n_all = [each.snippet.of_band for each in reviews]
    band = list(zip(bands(score).tolist(), n_all, strict=True))
    n_heard = Counter(band)
    weight = np.array([max(each[1] / n_heard[each], 1.0) for each in band])
    return score, right, weight
