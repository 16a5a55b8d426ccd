"""Collar metrics: detections whose onset and offset are close to those of a truth.

Mesaros, Heittola and Virtanen, Metrics for polyphonic sound event detection, Applied Sciences 2016.
The counts equal those of sed_scores_eval, the micro error rate that of sed_eval.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from sedmtl.metrics.annotation import Annotation, Whole, microseconds, pairs_between
from sedmtl.metrics.counts import EventMetrics, count, summarise


def evaluate(
    truth: Annotation,
    detected: Annotation,
    n_classes: int,
    onset_s: float = 0.2,
    offset_s: float | None = 0.2,
    offset_share: float = 0.2,
) -> EventMetrics:
    """Count hits by a maximum one-to-one matching of truths and detections.

    A pair may match if its classes are the same, its onsets are at most `onset_s` apart, and its
    offsets at most `offset_s` or `offset_share` of the truth's length apart, whichever is larger.
    In the micro error rate, an unmatched truth and an unmatched detection of another class within
    the same collars are one substitution, found greedily in order of onset.

    Args:
        truth: The true events; overlapping ones of a class count as one.
        detected: The detections; those of classes without a truth are dropped.
        n_classes: C.
        onset_s: The onset collar.
        offset_s: The offset collar; None to compare onsets only.
        offset_share: The offset collar as a share of the truth's length.
    """
    truth = truth.merged()
    detected = detected.of_classes_in(truth)
    i, j = _near(truth, detected, int(microseconds(onset_s)))
    if offset_s is not None:
        share_us = np.rint(offset_share * (truth.offset_us - truth.onset_us)).astype(np.int64)
        collar_us = np.maximum(microseconds(offset_s), share_us)
        near = np.abs(truth.offset_us[i] - detected.offset_us[j]) <= collar_us[i]
        i, j = i[near], j[near]
    same = truth.label[i] == detected.label[j]
    hit, matched = _match(i[same], j[same], (len(truth), len(detected)))
    n_truths, n_detected, tp = count(n_classes, truth.label, detected.label, truth.label[hit])
    order = np.argsort(truth.onset_s[i], kind="stable")
    n_substitutions = _match_greedily(i[order], j[order], hit, matched)
    return summarise(tp, n_detected - tp, n_truths, n_substitutions)


def _near(truth: Annotation, detected: Annotation, onset_us: int) -> tuple[Whole, Whole]:
    """All pairs (i, j) of a clip within the onset collar, sorted by i, then by j's onset."""
    # Clips are concatenated on one time line, further apart than the collar.
    latest_us = max(truth.onset_us.max(initial=0), detected.onset_us.max(initial=0))
    span_us = latest_us + onset_us + 1
    at_us = truth.clip * span_us + truth.onset_us
    found_us = detected.clip * span_us + detected.onset_us
    return pairs_between(at_us - onset_us, at_us + onset_us, found_us)


def _match(i: Whole, j: Whole, shape: tuple[int, int]) -> tuple[Whole, Whole]:
    """The pairs of a maximum matching."""
    if not len(i):
        return i, j
    index = i.astype(np.int32), j.astype(np.int32)  # the only type that scipy 1.13 accepts
    edges = csr_array((np.ones(len(i), bool), index), shape=shape)
    partner = maximum_bipartite_matching(edges, perm_type="column").astype(np.int64)
    hit = np.flatnonzero(partner >= 0)
    return hit, partner[hit]


def _match_greedily(i: Whole, j: Whole, hit: Whole, matched: Whole) -> int:
    """Number of further pairs, matched greedily in the given order."""
    used_truths, used_detections = set(hit.tolist()), set(matched.tolist())
    for truth, detection in zip(i.tolist(), j.tolist(), strict=True):
        if truth not in used_truths and detection not in used_detections:
            used_truths.add(truth)
            used_detections.add(detection)
    return len(used_truths) - len(hit)
