"""Segment metrics: which classes are active in each second.

Mesaros, Heittola and Virtanen, Metrics for polyphonic sound event detection, Applied Sciences 2016.
The values equal those of sed_eval over the classes that have a truth.
"""

from __future__ import annotations

import numpy as np

from sedmtl.metrics.annotation import Annotation, Mask, Seconds, Whole, microseconds
from sedmtl.metrics.counts import EventMetrics, summarise


def evaluate(
    truth: Annotation,
    detected: Annotation,
    n_classes: int,
    durations_s: Seconds,
    segment_s: float = 1.0,
) -> EventMetrics:
    """Compare truths and detections segment by segment.

    A class is active in a segment if one of its events overlaps the segment at all. In the micro
    error rate, a missed and a false class in the same segment are one substitution.

    Args:
        truth: The true events; overlapping ones of a class count as one.
        detected: The detections; those of classes without a truth are dropped.
        n_classes: C.
        durations_s: (n_clips,) length of each clip, rounded up to whole segments; events are cut at
            the end of the last one.
        segment_s: Length of a segment.
    """
    segment_us = int(microseconds(segment_s))
    n_segments = -(-microseconds(durations_s) // segment_us)
    true = _activity(truth, n_classes, n_segments, segment_us)
    found = _activity(detected.of_classes_in(truth), n_classes, n_segments, segment_us)
    missed, false = true & ~found, found & ~true
    n_substitutions = np.minimum(missed.sum(axis=1), false.sum(axis=1)).sum()
    return summarise(
        tp=(true & found).sum(axis=(0, 2)),
        fp=false.sum(axis=(0, 2)),
        n_truths=true.sum(axis=(0, 2)),
        n_substitutions=int(n_substitutions),
    )


def _activity(events: Annotation, n_classes: int, n_segments: Whole, segment_us: int) -> Mask:
    """Where each class is active: (n_clips, C, n_segments of the longest clip)."""
    first = events.onset_us // segment_us
    last = np.minimum(-(-events.offset_us // segment_us), n_segments[events.clip])
    within = first < last
    clip, label = events.clip[within], events.label[within]
    n_open = np.zeros((len(n_segments), n_classes, n_segments.max(initial=0) + 1), np.int32)
    np.add.at(n_open, (clip, label, first[within]), 1)
    np.add.at(n_open, (clip, label, last[within]), -1)
    return np.cumsum(n_open, axis=2)[:, :, :-1] > 0
