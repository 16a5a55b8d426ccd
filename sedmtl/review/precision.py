"""Estimates the precision of events above a threshold from verdicts on some of them.

If the reviewed events were drawn from score bands, each represents all proposals of its band. Only
verdicts on snippets drawn at random within their band count (`--by class` and `new`), since
uncertain and suspicious snippets are not representative of their band.
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
"""Normal quantile of a 95 % interval."""

AT_RANDOM = ("class", "new")
"""Criteria that draw at random within a band."""

MIN_HEARD = 10
"""Minimum verdicts to change a class's threshold; with fewer, an interval is 50 points wide."""


class Estimate(NamedTuple):
    """The precision of a class above a threshold.

    Attributes:
        threshold: The threshold.
        precision: Share of the events above the threshold that are correct.
        low: Lower end of the 95 % interval.
        high: Upper end of the 95 % interval.
        n_heard: Number of verdicts above the threshold.
    """

    threshold: float
    precision: float
    low: float
    high: float
    n_heard: int


def wilson(share: float, n: float) -> tuple[float, float]:
    """95 % interval of a share of n (Wilson, JASA 1927); n may be fractional, 0 gives [0, 1]."""
    centre = (share * n + Z**2 / 2) / (n + Z**2)
    half = Z / (n + Z**2) * math.sqrt(share * (1 - share) * n + Z**2 / 4)
    return max(0.0, centre - half), min(1.0, centre + half)


def estimate(threshold: float, score: Values, right: Values, weight: Values) -> Estimate:
    """Estimate the precision strictly above a threshold.

    The interval is Wilson's for the effective number of verdicts under unequal weights, (Σw)²/Σw²
    (Kish, Survey Sampling, 1965).

    Args:
        threshold: In [0, 1).
        score: (n,) scores of the reviewed events.
        right: (n,) 1 if the event is of the class, 0 if not.
        weight: (n,) number of proposals that each represents.
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
    """Fit the threshold of a class to verdicts.

    Every threshold between two reviewed scores is tried. Without `min_precision`, the one with the
    best F1 is chosen, where recall is relative to all correct proposals, reviewed or not; with it,
    the lowest one whose whole interval is at least `min_precision`. Ties go to the higher
    threshold.

    Returns:
        The estimate at the chosen threshold; None if no threshold qualifies.
    """
    ranked = np.unique(score)
    lowest = max(float(ranked[0]) - 0.001, 0.0)  # no lower score was reviewed
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
    """Apply `refit` to each class with verdicts on events that a network proposed.

    Returns:
        For each class, in sorted order: the estimate, None if no threshold qualifies or there are
        fewer than `MIN_HEARD` verdicts; and the number of verdicts.
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
    """The arguments `score`, `right` and `weight` of `estimate`."""
    score = np.array([each.snippet.score for each in reviews])
    right = np.array([float(each.verdict == "yes") for each in reviews])
    # Equal bands of different pools, such as of other recordings, are distinguished by their sizes.
    n_all = [each.snippet.of_band for each in reviews]
    band = list(zip(bands(score).tolist(), n_all, strict=True))
    n_heard = Counter(band)
    weight = np.array([max(each[1] / n_heard[each], 1.0) for each in band])
    return score, right, weight
