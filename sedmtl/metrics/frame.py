"""Frame metrics: average precision of frame scores against framewise labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sedmtl.metrics.annotation import Annotation, Mask, Seconds, Values, microseconds
from sedmtl.metrics.ranking import Scores, average_precision


class FrameMetrics(NamedTuple):
    """How well frame scores rank frames.

    Attributes:
        ap_micro: Average precision over all frames of the classes with a positive frame.
        ap_macro: Mean of these classes' average precision.
        n_classes_scored: Number of classes with a positive frame; if 0, the metrics are NaN.
        ap: (C,) average precision of each class; NaN if it has no positive frame.
    """

    ap_micro: float
    ap_macro: float
    n_classes_scored: int
    ap: Values


def targets(truth: Annotation, n_clips: int, n_classes: int, edges_s: Seconds) -> Mask:
    """Mark frames whose centre lies in a truth, onset <= centre < offset: (n_clips, C, T).

    Frame t lasts from edge t to edge t + 1 of `edges_s` (T + 1,).
    """
    edges_us = microseconds(edges_s)
    twice_centre_us = edges_us[:-1] + edges_us[1:]
    first = np.searchsorted(twice_centre_us, 2 * truth.onset_us)
    last = np.searchsorted(twice_centre_us, 2 * truth.offset_us)
    target = np.zeros((n_clips, n_classes, len(twice_centre_us)), bool)
    for clip, label, begin, end in zip(truth.clip, truth.label, first, last, strict=True):
        target[clip, label, begin:end] = True
    return target


def evaluate(target: Mask, frame: Scores) -> FrameMetrics:
    """Score all frames of a held-out fold at once: (n, C, T), comparable between classes.

    Frames with the score -inf, the gaps between packed recordings, are ignored.
    """
    target = target & (frame > -np.inf)
    scored: Mask = np.any(target, axis=(0, 2))
    ap = np.full(len(scored), np.nan)
    if not scored.any():
        return FrameMetrics(np.nan, np.nan, 0, ap)
    # One copy serves both averages. It is not float16, which is slow to sort.
    score = np.empty(
        (scored.sum(), frame.shape[0] * frame.shape[2]), np.result_type(frame, np.float32)
    )
    positives = []
    for row, label in zip(score, np.flatnonzero(scored), strict=True):
        row[:] = frame[:, label].ravel()
        positives.append(np.sort(row[target[:, label].ravel()]))
        row.sort()
        ap[label] = average_precision(positives[-1], row)
    score = score.reshape(-1)
    score.sort()
    return FrameMetrics(
        ap_micro=average_precision(np.sort(np.concatenate(positives)), score),
        ap_macro=float(ap[scored].mean()),
        n_classes_scored=int(scored.sum()),
        ap=ap,
    )
