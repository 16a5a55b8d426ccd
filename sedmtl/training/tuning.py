"""Tunes thresholds and post-processing (median filter or boxes) on validation clips.

Every distinct score is tried as a threshold. The choice is stored with the run as a
`PostProcessing`. The clips must be neither trained nor reported on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.inference.postprocess import PostProcessing
from sedmtl.inference.timelines import Timelines, of_class, peaks, shaped
from sedmtl.metrics.annotation import Annotation
from sedmtl.metrics.packing import Packing
from sedmtl.metrics.sweep import Sweep, sweep

Scores = npt.NDArray[np.floating]
Targets = npt.NDArray[np.integer]
Values = npt.NDArray[np.float64]

MEDIANS_S = (0.0, 0.2, 0.4, 0.8, 1.6)
STEPS_S = (0.4, 0.8, 1.6)
SHARE = 0.5
"""Overlap of an event and its detection that each must cover of the other (GTC and DTC)."""

NEUTRAL = 0.5
"""Threshold if validation has no positives of any class."""


class Best(NamedTuple):
    """The best F1 of a class and its threshold.

    Attributes:
        f1: NaN if the class does not occur.
        threshold: NaN if no threshold finds anything.
    """

    f1: float
    threshold: float


class Tuned(NamedTuple):
    """Tuned post-processing.

    Attributes:
        best: The best overall.
        filtered: The best without boxes.
    """

    best: PostProcessing
    filtered: PostProcessing


def tune(
    lines: Timelines,
    target: Targets,
    truth: Annotation | None,
    edges_s: Values,
    hop_s: float,
) -> Tuned:
    """Tune the post-processing that turns frame scores into events.

    Each class gets the threshold of its best F1. All classes share the median filter with or
    without gating (frame scores times clip score), or the boxes, that maximise the mean of these F1
    over the classes that occur. Ties go to the median filter, then the shorter filter, then no
    gating.

    F1 is intersection F1 with strong labels (Bilen et al., ICASSP 2020: DTC and GTC 0.5), and
    clip-level F1 of the highest frame score with weak labels only. The latter does not depend on
    event extents, so boxes are tried only with strong labels.

    Args:
        lines: The frame scores of n clips.
        target: (n, C) weak labels, 0 or 1.
        truth: The strong labels of all these clips, if known.
        edges_s: (T + 1,) frame boundaries of a window.
        hop_s: Length of a frame.

    Returns:
        Thresholds in [0, 1), median or boxes, and gating. A class that does not occur or is never
        found gets the median of the other thresholds (0.5 if there are none).
    """
    settings = candidates(with_boxes=truth is not None)
    best = np.empty((len(settings), target.shape[1], len(Best._fields)))
    of_gate = {each.gated: each for each in settings}
    joined = {gated: lines.joined(each) for gated, each in of_gate.items()}
    packing = Packing.of([line.shape[-1] for line in joined[False]], edges_s)
    packed = None if truth is None else packing.annotation(truth)
    for label in range(target.shape[1]):
        for i, each in enumerate(settings):
            score = shaped(of_class(joined[each.gated], label), each, hop_s)
            best[i, label] = _best(
                _tag_sweep(target[:, label], peaks(score))
                if packed is None
                else sweep(packed, label, packing.frames(score), packing.edges_s, SHARE, SHARE)
            )
    f1, threshold = best[..., 0], best[..., 1]
    occurs = ~np.isnan(f1[0])
    mean_f1 = f1[:, occurs].mean(axis=1) if occurs.any() else np.zeros(len(settings))
    n_medians = sum(not each.step_s for each in settings)
    chosen = (int(mean_f1[:n].argmax()) for n in (None, n_medians))
    return Tuned(*(replace(settings[i], threshold=_complete(threshold[i])) for i in chosen))


def candidates(with_boxes: bool) -> list[PostProcessing]:
    """Post-processings to try, without thresholds; earlier ones win ties."""
    medians = [
        PostProcessing((), median_s=median_s, gated=gated)
        for median_s in MEDIANS_S
        for gated in (False, True)
    ]
    # Gating does not change a box's extent. Without it F1 is 0.01 higher, PSDS2 0.02 lower.
    gated_boxes = [PostProcessing((), step_s=step_s, gated=True) for step_s in STEPS_S]
    return medians + gated_boxes if with_boxes else medians


def tune_tags(clip: Scores, target: Targets) -> tuple[float, ...]:
    """Tune the clip score threshold of each class for its best F1.

    Args:
        clip: (n, C) clip scores in [0, 1].
        target: (n, C) weak labels, 0 or 1.

    Returns:
        (C,) thresholds in [0, 1), with missing ones filled in as in `tune`.
    """
    columns = zip(clip.T, target.T, strict=True)
    return _complete(np.array([_best(_tag_sweep(t, s)).threshold for s, t in columns]))


def _tag_sweep(target: npt.NDArray[np.integer], score: Scores) -> Sweep:
    """Clip-level sweep: true and false positives at every distinct score (n,) as a threshold."""
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.append(ranked[1:] != ranked[:-1], True)  # the last of equal scores
    hits = np.cumsum(target[order], dtype=np.int64)
    misses = np.arange(1, len(order) + 1) - hits
    return Sweep(ranked[last], hits[last], misses[last], int(target.sum()))


def _best(points: Sweep) -> Best:
    """The best F1, and the midpoint of the widest range of thresholds that reach it.

    An operating point holds for all thresholds from the next lower score (or 0) up to, but not
    including, its own. The ranges of adjacent points with equal F1 are merged.
    """
    if not points.n_truths:
        return Best(np.nan, np.nan)
    above = points.score > 0  # a frame of score 0 is never active
    score = np.append(points.score[above].astype(np.float64), 0.0)
    tp, fp = points.tp[above], points.fp[above]
    f1 = 2 * tp / (tp + fp + points.n_truths)
    if not f1.any():
        return Best(0.0, np.nan)
    is_best = np.concatenate([[0], f1 == f1.max(), [0]])
    begin, end = np.flatnonzero(np.diff(is_best)).reshape(-1, 2).T
    widest = np.argmax(score[begin] - score[end])
    return Best(float(f1.max()), float((score[begin] + score[end])[widest]) / 2)


def _complete(threshold: Values) -> tuple[float, ...]:
    """Replace missing thresholds (NaN) with the median of the others."""
    known = threshold[~np.isnan(threshold)]
    fallback = np.median(known) if len(known) else NEUTRAL
    return tuple(np.where(np.isnan(threshold), fallback, threshold).tolist())
