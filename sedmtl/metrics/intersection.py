"""Intersection metrics: the overlap of detections and truths, at one threshold.

Bilen et al., A framework for the robust evaluation of sound event detection, ICASSP 2020. `sweep`
computes the same counts at all thresholds.
"""

from __future__ import annotations

import numpy as np

from sedmtl.metrics.annotation import Annotation, pairs_between
from sedmtl.metrics.counts import EventMetrics, count, summarise


def evaluate(
    truth: Annotation, detected: Annotation, n_classes: int, dtc: float = 0.5, gtc: float = 0.5
) -> EventMetrics:
    """Count by the detection and ground truth tolerance criteria.

    A detection passes if truths of its class cover at least `dtc` of its length; otherwise it is a
    false positive. A truth is found if passing detections cover at least `gtc` of its length.
    Lengths are compared in integer microseconds.

    Args:
        truth: The true events; overlapping ones of a class count as one.
        detected: The detections, which do not overlap within a class; those of classes without a
            truth are dropped.
        n_classes: C.
        dtc: The detection tolerance criterion.
        gtc: The ground truth tolerance criterion.
    """
    truth = truth.merged()
    detected = detected.of_classes_in(truth)
    group = truth.group(n_classes)
    i, j = pairs_between(group, group, detected.group(n_classes))
    shared_us = np.minimum(truth.offset_us[i], detected.offset_us[j])
    shared_us -= np.maximum(truth.onset_us[i], detected.onset_us[j])
    shared_us = np.maximum(shared_us, 0)
    covered_us = np.bincount(j, shared_us, len(detected))
    passes = covered_us >= np.rint(dtc * (detected.offset_us - detected.onset_us))
    found_us = np.bincount(i, shared_us * passes[j], len(truth))
    found = found_us >= np.rint(gtc * (truth.offset_us - truth.onset_us))
    tp, fp, n_truths = count(n_classes, truth.label[found], detected.label[~passes], truth.label)
    return summarise(tp, fp, n_truths)
