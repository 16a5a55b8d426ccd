"""Ranking metrics: average precision and area under the ROC curve.

The definitions are scikit-learn's. At paper size, scikit-learn would sort 25 million frames with
their labels, and for small inputs it spends milliseconds on validating arguments. Since only the
scores of positives matter as thresholds, scores are sorted here without labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating]


def average_precision(positives: Scores, scores: Scores) -> float:
    """Mean of the precision at each positive, from the scores of positives and of all, ascending.

    NaN without a positive, or if a score is NaN.
    """
    if not len(positives) or np.isnan(scores[-1]):
        return np.nan
    n_hits = len(positives) - np.searchsorted(positives, positives)
    n_taken = len(scores) - np.searchsorted(scores, positives)
    # Tied positives share a threshold and each add its precision.
    return float((n_hits / n_taken).mean())


def roc_area(positives: Scores, scores: Scores) -> float:
    """Share of correctly ordered pairs of a positive and a negative; ties count half.

    Takes the same input as `average_precision`. NaN without a positive or a negative, or if a score
    is NaN.
    """
    n_negatives = len(scores) - len(positives)
    if not len(positives) or not n_negatives or np.isnan(scores[-1]):
        return np.nan
    below, up_to = (
        np.searchsorted(scores, positives, side) - np.searchsorted(positives, positives, side)
        for side in ("left", "right")
    )
    return float((below + up_to).mean() / (2 * n_negatives))
