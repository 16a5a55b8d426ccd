"""How well scores rank positives above the rest: average precision, area under the ROC curve.

The definitions are scikit-learn's. At paper size it would sort 25 million frames with their labels,
and of three classes and some clips it spends milliseconds on looking at its arguments; here only
the scores of positives are thresholds that count, so the scores are sorted alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating]


def average_precision(positives: Scores, scores: Scores) -> float:
    """Mean of the precision at each positive, from their scores and those of all, both rising.

    NaN without a positive, or where a score is NaN.
    """
    if not len(positives) or np.isnan(scores[-1]):
        return np.nan
    n_hits = len(positives) - np.searchsorted(positives, positives)
    n_taken = len(scores) - np.searchsorted(scores, positives)
    # Positives of equal score share a threshold, whose precision each of them adds.
    return float((n_hits / n_taken).mean())


def roc_area(positives: Scores, scores: Scores) -> float:
    """Share of pairs of a positive and a negative in the right order, from the same; ties half.

    NaN without a positive or a negative, or where a score is NaN.
    """
    n_negatives = len(scores) - len(positives)
    if not len(positives) or not n_negatives or np.isnan(scores[-1]):
        return np.nan
    below, up_to = (
        np.searchsorted(scores, positives, side) - np.searchsorted(positives, positives, side)
        for side in ("left", "right")
    )
    return float((below + up_to).mean() / (2 * n_negatives))
