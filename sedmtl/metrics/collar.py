"""Collar metrics: detections whose onset and offset are near those of a truth.

Mesaros, Heittola and Virtanen, Metrics for polyphonic sound event detection, Applied Sciences 2016;
the counts are those of sed_scores_eval, the micro error rate is that of sed_eval.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from sedmtl.metrics.annotation import Annotation, Whole, microseconds, pairs_between
from sedmtl.metrics.counts import EventMetrics, summarise


class _Collars(NamedTuple):
    onset_s: float
    offset_s: float | None
    offset_share: float


def evaluate(
    truth: Annotation,
    detected: Annotation,
    n_classes: int,
    onset_s: float = 0.2,
    offset_s: float | None = 0.2,
    offset_share: float = 0.2,
) -> EventMetrics:
    """Count by a maximum one-to-one matching of truths and detections.

    A pair may match if its classes are the same, its onsets at most `onset_s` apart, and its
    offsets at most `offset_s` or `offset_share` of the truth's length apart, whichever is more.
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
    collars = _Collars(onset_s, offset_s, offset_share)
    hit, matched = _match(truth, detected, n_classes, collars)
    n_truths, n_detected, tp = (
        np.bincount(label, minlength=n_classes)
        for label in (truth.label, detected.label, truth.label[hit])
    )
    missed = np.setdiff1d(np.arange(len(truth)), hit)
    false = np.setdiff1d(np.arange(len(detected)), matched)
    n_substitutions = _count_substitutions(truth.take(missed), detected.take(false), collars)
    return summarise(tp, n_detected - tp, n_truths, n_substitutions)


def _match(
    truth: Annotation, detected: Annotation, n_classes: int, collars: _Collars
) -> tuple[Whole, Whole]:
    """Truths and detections of a maximum matching within the classes, pair by pair."""
    groups = truth.group(n_classes), detected.group(n_classes)
    i, j = _near(truth, detected, groups, collars)
    if not len(i):
        return i, j
    index = i.astype(np.int32), j.astype(np.int32)  # scipy 1.13 matches with no other
    edges = csr_array((np.ones(len(i), bool), index), shape=(len(truth), len(detected)))
    partner = maximum_bipartite_matching(edges, perm_type="column").astype(np.int64)
    hit = np.flatnonzero(partner >= 0)
    return hit, partner[hit]


def _count_substitutions(truth: Annotation, detected: Annotation, collars: _Collars) -> int:
    """Number of unmatched truths near an unmatched detection of any class."""
    truth = truth.take(np.argsort(truth.onset_s, kind="stable"))
    used_truths, used_detections = set[int](), set[int]()
    pairs = _near(truth, detected, (truth.clip, detected.clip), collars)
    for i, j in zip(*(index.tolist() for index in pairs), strict=True):
        if i not in used_truths and j not in used_detections:
            used_truths.add(i)
            used_detections.add(j)
    return len(used_truths)


def _near(
    truth: Annotation, detected: Annotation, groups: tuple[Whole, Whole], collars: _Collars
) -> tuple[Whole, Whole]:
    """I and j of all pairs of a group within the collars; sorted by i, then by j's onset."""
    onset_us = int(microseconds(collars.onset_s))
    # Groups follow each other on one time line, further apart than the collar.
    latest_us = max(truth.onset_us.max(initial=0), detected.onset_us.max(initial=0))
    span_us = latest_us + onset_us + 1
    at_us = groups[0] * span_us + truth.onset_us
    found_us = groups[1] * span_us + detected.onset_us
    i, j = pairs_between(at_us - onset_us, at_us + onset_us, found_us)
    if collars.offset_s is None:
        return i, j
    length_us = truth.offset_us - truth.onset_us
    share_us = np.rint(collars.offset_share * length_us).astype(np.int64)
    collar_us = np.maximum(microseconds(collars.offset_s), share_us)
    near = np.abs(truth.offset_us[i] - detected.offset_us[j]) <= collar_us[i]
    return i[near], j[near]
