"""References for the localisation metrics.

The golden files hold the frame scores and true events of two scenarios (A: fixed onsets, 5 classes,
20 clips; B: random overlapping onsets, 7 classes, 30 clips) and the results of the field's own
tools, named there. The naive counts below follow the definitions, threshold by threshold.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.signal import medfilt

from sedmtl.metrics.annotation import Annotation

DATA = Path(__file__).parent / "data"


def detections(active, edges_s):
    """Turn each maximal run of active frames (n, C, T) into an event; by clip, class and onset."""
    begins, ends = active.copy(), active.copy()
    begins[..., 1:] &= ~active[..., :-1]
    ends[..., :-1] &= ~active[..., 1:]
    clip, label, first = np.nonzero(begins)
    last = np.nonzero(ends)[2]
    return Annotation(clip, label, edges_s[first], edges_s[last + 1])


@dataclass(frozen=True)
class Golden:
    truth: Annotation
    frame: np.ndarray  # (n, C, T)
    edges_s: np.ndarray
    durations_s: np.ndarray
    reference: dict

    @property
    def expected(self):
        return self.reference["expected"]

    @property
    def n_classes(self):
        return self.frame.shape[1]

    @property
    def detected(self):
        return detections(self.frame > 0.5, self.edges_s)

    def smoothed(self):
        """The scores after a median over 7 frames, zeros at both ends."""
        return np.array([[medfilt(row, 7) for row in clip] for clip in self.frame])

    @property
    def detected_smoothed(self):
        return detections(self.smoothed() > 0.5, self.edges_s)


@cache
def golden(scenario):
    arrays = np.load(DATA / f"sed_metrics_{scenario}.npz")
    truth = Annotation(*(arrays[f"gt_{k}"] for k in ("clip", "class", "onset_s", "offset_s")))
    return Golden(
        truth,
        arrays["scores"].transpose(0, 2, 1),
        arrays["frame_boundaries_s"],
        arrays["audio_duration_s"],
        json.loads((DATA / f"sed_metrics_{scenario}.json").read_text()),
    )


def events(*rows):
    """An annotation from rows of clip, label, onset, offset."""
    clip, label, onset_s, offset_s = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Annotation(
        np.array(clip, int), np.array(label, int), np.array(onset_s, float),
        np.array(offset_s, float),
    )  # fmt: skip


def rows(annotation):
    """The rows of an annotation."""
    columns = (annotation.clip, annotation.label, annotation.onset_s, annotation.offset_s)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@dataclass(frozen=True)
class Case:
    truth: Annotation
    frame: np.ndarray  # (n, C, T)
    edges_s: np.ndarray


def random_case(seed, n_levels=None):
    """A case of few frames, with true events that overlap, end late or are shorter than a frame.

    With `n_levels` most scores are tied.
    """
    rng = np.random.default_rng(seed)
    n, n_classes, n_frames, n_truths = 4, 3, 12, 12
    frame = rng.random((n, n_classes, n_frames)).astype(np.float32)
    if n_levels:
        frame = np.floor(frame * n_levels) / n_levels
    onset_ms = rng.integers(0, 400, n_truths)
    length_ms = np.where(rng.random(n_truths) < 0.3, rng.integers(1, 20, n_truths),
                         rng.integers(20, 250, n_truths))  # fmt: skip
    truth = Annotation(
        rng.integers(0, n, n_truths), rng.integers(0, n_classes, n_truths),
        onset_ms / 1000, (onset_ms + length_ms) / 1000,
    )  # fmt: skip
    return Case(truth, frame, np.round(np.arange(n_frames + 1) * 0.032, 6))


def naive_runs(active, edges_s):
    """The maximal runs of active frames as pairs of times."""
    runs, begin = [], None
    for t, is_active in enumerate([*active, False]):
        if is_active and begin is None:
            begin = t
        if not is_active and begin is not None:
            runs.append((edges_s[begin], edges_s[t]))
            begin = None
    return runs


def naive_truths(truth, clip, label):
    """The union of the truths of a class in a clip as pairs of times."""
    union = []
    for c, k, onset, offset in sorted(rows(truth)):
        if (c, k) != (clip, label):
            continue
        if union and onset <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], offset))
        else:
            union.append((onset, offset))
    return union


def naive_overlap(event, others):
    return sum(max(0, min(event[1], o[1]) - max(event[0], o[0])) for o in others)


def reaches(time_s, share, event):
    return round(time_s, 6) >= round(share * (event[1] - event[0]), 6)


def naive_counts(case, label, threshold, dtc, gtc, cttc=None):
    """tp, fp, and the cross triggers with each class, of frames with score >= threshold."""
    tp, fp, cross = 0, 0, np.zeros(case.frame.shape[1], int)
    for clip, scores in enumerate(case.frame[:, label]):
        truths = naive_truths(case.truth, clip, label)
        runs = naive_runs(scores >= threshold, case.edges_s)
        passed = [run for run in runs if reaches(naive_overlap(run, truths), dtc, run)]
        tp += sum(reaches(naive_overlap(t, passed), gtc, t) for t in truths)
        fp += len(runs) - len(passed)
        for run in runs:
            for other in range(len(cross)):
                if cttc is None or other == label or run in passed:
                    continue
                of_other = naive_truths(case.truth, clip, other)
                if of_other:
                    cross[other] += reaches(naive_overlap(run, of_other), cttc, run)
    return tp, fp, cross
