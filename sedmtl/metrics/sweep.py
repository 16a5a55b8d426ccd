"""Counts by the intersection criterion at every threshold, for the frame scores of one class.

The idea is from Ebbers, Haeb-Umbach and Serizel, Threshold independent evaluation of sound event
detection scores, ICASSP 2022. Here, frames are activated one by one, the highest score of each clip
first. A frame joins the runs of active frames on its left and right, and only these three runs can
change a count. Changes are integers, so sorting them by score and accumulating them gives the exact
count at each distinct score, ties included.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.metrics.annotation import Annotation, Mask, Seconds, Values, Whole, microseconds

Changes = npt.NDArray[np.signedinteger]
Scores = npt.NDArray[np.floating]


class Sweep(NamedTuple):
    """The counts of one class as the threshold decreases.

    Detections are runs of frames whose scores are at least the threshold.

    Attributes:
        score: (n_points,) thresholds at which a count changes, descending; above the first, all
            counts are 0.
        tp: (n_points,) truths found at each threshold.
        fp: (n_points,) detections that fail the detection tolerance criterion.
        n_truths: Number of truths in all clips.
    """

    score: Values
    tp: Whole
    fp: Whole
    n_truths: int


def sweep(
    truth: Annotation, label: int, frame: Scores, edges_s: Seconds, dtc: float, gtc: float
) -> Sweep:
    """Count the hits and false alarms of one class at every threshold.

    Args:
        truth: The true events of all classes; overlapping ones of a class count as one.
        label: Index of the class.
        frame: (n, T) frame scores of the class.
        edges_s: (T + 1,) frame boundaries: frame t lasts from edge t to edge t + 1.
        dtc: Detection tolerance criterion, as in `intersection.evaluate`.
        gtc: Ground truth tolerance criterion.
    """
    events = truth.take(truth.label == label).merged()
    steps = activate(events, frame, microseconds(edges_s), dtc, gtc)
    points = Points((steps.tp != 0) | (steps.fp != 0), steps.score)
    return Sweep(points.score, points.total(steps.tp), points.total(steps.fp), len(events))


class Steps(NamedTuple):
    """Effects of activating the frames of each clip, the highest score first.

    Attributes:
        score: (n, T) score of the activated frame, descending along T.
        begin: (3, n, T) start edges of three runs: the new one, and those that it replaces on the
            left and right of the frame, which may be empty.
        end: (3, n, T) end edges of these runs.
        fails: (3, n, T) whether they fail the detection tolerance criterion; empty runs do not.
        tp: (n, T) change in true positives.
        fp: (n, T) change in false positives.
    """

    score: Scores
    begin: Whole
    end: Whole
    fails: Mask
    tp: Changes
    fp: Changes


def activate(truth: Annotation, frame: Scores, edges_us: Whole, dtc: float, gtc: float) -> Steps:
    """Activate the frames (n, T) of all clips, tracking the counts against merged truths."""
    order = np.argsort(-frame.astype(np.float64), axis=1, kind="stable")
    begin, end = _runs(order)
    coverage = cover(truth, edges_us)
    covered_us = np.zeros((len(frame), len(edges_us)), np.int64)
    covered_us[coverage.clip] = coverage.until_us
    length_us = edges_us[end] - edges_us[begin]
    fails = _between(covered_us, begin, end) < np.rint(dtc * length_us)
    return Steps(
        score=np.take_along_axis(frame, order, axis=1),
        begin=begin,
        end=end,
        fails=fails,
        tp=_found(truth, begin, end, fails, edges_us, gtc),
        fp=_change(fails.astype(np.int8)),
    )


class Coverage(NamedTuple):
    """Cumulative time covered by truths of a class before each edge (m, T + 1), in m clips."""

    clip: Whole
    until_us: Whole


def cover(truth: Annotation, edges_us: Whole) -> Coverage:
    """Compute the coverage by the merged truths of one class."""
    clip, row = np.unique(truth.clip, return_inverse=True)
    until_us = np.zeros((len(clip), len(edges_us)), np.int64)
    onset_us, offset_us = truth.onset_us[:, None], truth.offset_us[:, None]
    np.add.at(until_us, row, np.clip(edges_us, onset_us, offset_us) - onset_us)
    return Coverage(clip, until_us)


def cross_triggers(steps: Steps, coverage: Coverage, edges_us: Whole, cttc: float) -> Changes:
    """Changes (m, T) in the cross triggers of a class's failing detections on another class.

    Args:
        steps: Steps of this class.
        coverage: Coverage by the other class, in m clips.
        edges_us: (T + 1,) frame boundaries.
        cttc: The share of a failing detection that truths of the other class must cover.
    """
    begin, end = steps.begin[:, coverage.clip], steps.end[:, coverage.clip]
    wanted_us = np.rint(cttc * (edges_us[end] - edges_us[begin]))
    triggers = _between(coverage.until_us, begin, end) >= wanted_us
    return _change((triggers & steps.fails[:, coverage.clip]).astype(np.int8))


class Points:
    """Operating points: the distinct scores (n_points,) at which a count changes, descending.

    Args:
        changed: (n, T) whether a step changes a count.
        score: (n, T) scores of the steps.
    """

    def __init__(self, changed: Mask, score: Scores) -> None:
        # Gaps between packed recordings (`metrics.packing`) are never active.
        self.changed = changed & (score > -np.inf)
        falling, index = np.unique(-score[self.changed].astype(np.float64), return_inverse=True)
        self.score: Values = -falling
        self.index = np.zeros(score.shape, np.int64)  # meaningless where nothing changes
        self.index[self.changed] = index

    def total(self, change: Changes, clips: Whole | slice = slice(None)) -> Whole:
        """Accumulate changes (m, T) in m clips to the count at each point."""
        hit = (change != 0) & self.changed[clips]
        totals = np.bincount(self.index[clips][hit], change[hit], len(self.score))
        return np.cumsum(totals).astype(np.int64)


def _runs(order: Whole) -> tuple[Whole, Whole]:
    """Start and end edges of the runs that each step creates and replaces: (3, n, T) each."""
    n, n_frames = order.shape
    rows = np.arange(n)
    edges = np.arange(n_frames + 1)
    begin_of, end_of = np.tile(edges, (n, 1)), np.tile(edges, (n, 1))  # empty runs at first
    begin, end = (np.empty((3, n, n_frames), np.int64) for _ in range(2))
    for k, frame in enumerate(order.T):
        first, last = begin_of[rows, frame], end_of[rows, frame + 1]
        begin_of[rows, last], end_of[rows, first] = first, last
        begin[0, :, k], end[0, :, k] = first, last
    begin[1], end[1] = begin[0], order
    begin[2], end[2] = order + 1, end[0]
    return begin, end


def _between(until_us: Whole, begin: Whole, end: Whole) -> Whole:
    """Covered time between edges: (3, m, T), from cumulative (m, T + 1)."""
    rows = np.arange(len(until_us))[:, None]
    return until_us[rows, end] - until_us[rows, begin]


def _change(run: Changes) -> Changes:
    """The new run's value minus those of the two that it replaces: (3, m, T) -> (m, T)."""
    change: Changes = run[0] - run[1] - run[2]
    return change


def _found(
    truth: Annotation, begin: Whole, end: Whole, fails: Mask, edges_us: Whole, gtc: float
) -> Changes:
    """Changes in true positives: (n, T)."""
    onset_us, offset_us = truth.onset_us[:, None], truth.offset_us[:, None]
    shared_us = np.clip(edges_us[end[:, truth.clip]], onset_us, offset_us)
    shared_us -= np.clip(edges_us[begin[:, truth.clip]], onset_us, offset_us)
    shared_us[fails[:, truth.clip]] = 0
    found_us = np.cumsum(_change(shared_us), axis=1)
    found = found_us >= np.rint(gtc * (offset_us - onset_us))
    change = np.zeros(begin.shape[1:], np.int32)
    np.add.at(change, truth.clip, np.diff(found.astype(np.int32), axis=1, prepend=0))
    return change
