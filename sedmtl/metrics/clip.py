"""Clip metrics: micro-P, macro-P and AUC (paper, section IV-B).

The "precision" of the paper's tables is average precision, and its AUC the macro average of the
area under the ROC curve.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.metrics.annotation import Values
from sedmtl.metrics.ranking import Scores, average_precision, roc_area

Targets = npt.NDArray[np.integer]


class ClipMetrics(NamedTuple):
    """How well clip scores rank the weak labels.

    Attributes:
        micro_p: Average precision over all pairs of clip and class; NaN without any positive.
        macro_p: Mean of the classes' average precision, over classes with a positive.
        auc: Mean of the classes' area under the ROC curve, over classes where it is defined.
        n_classes_scored: Number of classes with a positive; the others have no average precision.
    """

    micro_p: float
    macro_p: float
    auc: float
    n_classes_scored: int


class ByClass(NamedTuple):
    """Metrics of each class: (C,) each.

    Attributes:
        ap: Average precision; NaN where a class has no positive.
        auc: Area under the ROC curve; NaN where all clips have the same label.
    """

    ap: Values
    auc: Values


def evaluate(target: Targets, score: Scores, of_classes: ByClass | None = None) -> ClipMetrics:
    """Score all clips of a held-out fold at once.

    Args:
        target: (n, C) of 0 and 1.
        score: (n, C), any scale on which more means more likely; comparable between classes.
        of_classes: The metrics of each class, if already computed.
    """
    ap, auc = of_classes or by_class(target, score)
    scored = ~np.isnan(ap)
    if not scored.any():
        return ClipMetrics(np.nan, np.nan, np.nan, 0)
    return ClipMetrics(
        micro_p=average_precision(*_rising(target.ravel(), score.ravel())),
        macro_p=float(ap[scored].mean()),
        auc=float(mean_where_known(auc)),
        n_classes_scored=int(scored.sum()),
    )


def by_class(target: Targets, score: Scores) -> ByClass:
    """Metrics of each class, from (n, C) each."""
    ranked = [_rising(truth, s) for truth, s in zip(target.T, score.T, strict=True)]
    return ByClass(
        ap=np.array([average_precision(*each) for each in ranked]),
        auc=np.array([roc_area(*each) for each in ranked]),
    )


def _rising(truth: Targets, score: Scores) -> tuple[Scores, Scores]:
    """The scores of positives and those of all, both ascending."""
    return np.sort(score[truth > 0]), np.sort(score)


def mean_where_known(values: Sequence[Values] | Values) -> Values:
    """Mean over the first axis, ignoring NaN; NaN where all are NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(values, axis=0))
