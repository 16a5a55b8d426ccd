"""F1 and error rate of the event metrics, from counts of hits and false alarms."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sedmtl.metrics.annotation import Values, Whole


class EventMetrics(NamedTuple):
    """Agreement of detections with truths, over the classes that have a truth.

    Attributes:
        f1_micro: F1 of the summed counts.
        f1_macro: Mean of the classes' F1.
        error_rate_micro: Substitutions, deletions and insertions over truths; NaN for the
            intersection criterion, which has no one-to-one matches.
        error_rate_macro: Mean of the classes' deletions and insertions over truths; NaN likewise.
        f1: (C,) F1 of each class; NaN if it has no truth, 0 if it has no hit.
        n_classes_scored: Number of classes with a truth; if 0, the metrics are NaN.
    """

    f1_micro: float
    f1_macro: float
    error_rate_micro: float
    error_rate_macro: float
    f1: Values
    n_classes_scored: int


def count(n_classes: int, *labels: Whole) -> list[Whole]:
    """Count the events of each class (C,), for each array of labels."""
    return [np.bincount(each, minlength=n_classes) for each in labels]


def summarise(
    tp: Whole, fp: Whole, n_truths: Whole, n_substitutions: int | None = None
) -> EventMetrics:
    """F1 and error rates from the counts of each class.

    A substitution is a miss of one class and a false alarm of another, counted as one error
    (Mesaros, Heittola and Virtanen, Metrics for polyphonic sound event detection, Applied Sciences
    2016); the error rate of a single class has none.

    Args:
        tp: (C,) true positives.
        fp: (C,) false positives; 0 for classes without a truth.
        n_truths: (C,) true events.
        n_substitutions: Substitutions over all classes; None if the error rate is undefined.
    """
    scored = n_truths > 0
    if not scored.any():
        return EventMetrics(np.nan, np.nan, np.nan, np.nan, np.full(len(tp), np.nan), 0)
    f1 = np.full(len(tp), np.nan)
    f1[scored] = (2 * tp / np.maximum(tp + fp + n_truths, 1))[scored]
    n_errors = (n_truths - tp + fp)[scored]
    error_rate_micro = error_rate_macro = np.nan
    if n_substitutions is not None:
        error_rate_micro = float((n_errors.sum() - n_substitutions) / n_truths.sum())
        error_rate_macro = float((n_errors / n_truths[scored]).mean())
    return EventMetrics(
        f1_micro=float(2 * tp.sum() / (tp + fp + n_truths).sum()),
        f1_macro=float(f1[scored].mean()),
        error_rate_micro=error_rate_micro,
        error_rate_macro=error_rate_macro,
        f1=f1,
        n_classes_scored=int(scored.sum()),
    )
