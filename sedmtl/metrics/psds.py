"""The polyphonic sound detection score: the area under the curve of true and false positives.

Bilen et al., A framework for the robust evaluation of sound event detection, ICASSP 2020, with
every distinct score as an operating point (Ebbers, Haeb-Umbach and Serizel, ICASSP 2022) rather
than 50 thresholds, which miss part of the curve.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.metrics.annotation import Annotation, Seconds, Values, Whole, microseconds
from sedmtl.metrics.sweep import Coverage, Points, Steps, activate, cover, cross_triggers

SECONDS_PER_HOUR = 3600


class Scenario(NamedTuple):
    """Evaluation criteria of a scenario.

    Attributes:
        dtc: Detection tolerance criterion: the share of a detection that truths must cover.
        gtc: Ground truth tolerance criterion: the share of a truth that detections must cover.
        cttc: Cross-trigger tolerance criterion: the share of a failing detection that truths of
            another class must cover for a cross trigger; None counts none.
        alpha_ct: Weight of the cross triggers in the effective false positive rate.
        alpha_st: Weight of the standard deviation over classes in the effective true positive rate.
        e_max: The effective false positive rate per hour at which the curve is cut.
    """

    dtc: float
    gtc: float
    cttc: float | None
    alpha_ct: float
    alpha_st: float
    e_max: float


SCENARIO_1 = Scenario(0.7, 0.7, None, 0.0, 1.0, 100.0)
"""DCASE task 4: fast reaction, which needs precise timing."""

SCENARIO_2 = Scenario(0.1, 0.1, 0.3, 0.5, 1.0, 100.0)
"""DCASE task 4: few class confusions; timing may be coarse."""


class Psds(NamedTuple):
    """A polyphonic sound detection score and its curve.

    Attributes:
        value: The area under the curve divided by `e_max`: 0 to 1.
        efpr: (n_points,) effective false positives per hour, increasing from 0 to `e_max`.
        etpr: (n_points,) effective true positive rate from each point to the next; it may decrease
            if `alpha_st` is not 0.
        per_class: (C,) the area under the curve of each class alone; NaN if it has no truth.
        n_classes_scored: Number of classes with a truth; if 0, the value is NaN.
    """

    value: float
    efpr: Values
    etpr: Values
    per_class: Values
    n_classes_scored: int


class _Curve(NamedTuple):
    """The best true positive rate of a class up to each effective false positive rate."""

    efpr: Values
    tpr: Values


def evaluate(
    truth: Annotation,
    frame: npt.NDArray[np.floating],
    edges_s: Seconds,
    durations_s: Seconds,
    scenario: Scenario,
) -> Psds:
    """Score frame scores at all thresholds at once.

    Args:
        truth: The true events; overlapping ones of a class count as one.
        frame: (n, C, T) frame scores.
        edges_s: (T + 1,) frame boundaries: frame t lasts from edge t to edge t + 1.
        durations_s: (n,) length of each clip, with or without events.
        scenario: The criteria.
    """
    edges_us = microseconds(edges_s)
    labels, curves = _curves(truth.merged(), frame, edges_us, float(durations_s.sum()), scenario)
    per_class = np.full(frame.shape[1], np.nan)
    if not curves:
        return Psds(np.nan, np.empty(0), np.empty(0), per_class, 0)
    per_class[labels] = [_area(curve.efpr, curve.tpr, scenario.e_max) for curve in curves]
    efpr = np.unique(np.concatenate([[scenario.e_max], *(curve.efpr for curve in curves)]))
    tpr = np.stack([c.tpr[np.searchsorted(c.efpr, efpr, "right") - 1] for c in curves])
    etpr = np.maximum(tpr.mean(axis=0) - scenario.alpha_st * tpr.std(axis=0), 0)
    return Psds(_area(efpr, etpr, scenario.e_max), efpr, etpr, per_class, len(curves))


def _area(efpr: Values, tpr: Values, e_max: float) -> float:
    """The area under a step function, divided by `e_max`."""
    return float((tpr * np.diff(efpr, append=e_max)).sum() / e_max)


def _curves(
    truth: Annotation,
    frame: npt.NDArray[np.floating],
    edges_us: Whole,
    total_s: float,
    scenario: Scenario,
) -> tuple[list[int], list[_Curve]]:
    """The classes with a truth and their curves."""
    events = {int(label): truth.take(truth.label == label) for label in np.unique(truth.label)}
    covers = {label: cover(own, edges_us) for label, own in events.items()}
    seconds = {label: (own.offset_s - own.onset_s).sum() for label, own in events.items()}
    curves = []
    for label, own in events.items():
        steps = activate(own, frame[:, label], edges_us, scenario.dtc, scenario.gtc)
        others = [(covers[o], seconds[o]) for o in events if o != label]
        points, per_s = _cross_trigger_rate(steps, others, edges_us, scenario)
        per_s += points.total(steps.fp) / total_s
        tpr = points.total(steps.tp) / len(own)
        curves.append(_staircase(SECONDS_PER_HOUR * per_s, tpr, scenario.e_max))
    return list(events), curves


def _cross_trigger_rate(
    steps: Steps, others: list[tuple[Coverage, float]], edges_us: Whole, scenario: Scenario
) -> tuple[Points, Values]:
    """The operating points of a class, and its weighted cross triggers per second at each."""
    changed = (steps.tp != 0) | (steps.fp != 0)
    crosses = []
    if scenario.cttc is not None:
        for other, other_s in others:
            change = cross_triggers(steps, other, edges_us, scenario.cttc)
            changed[other.clip] |= change != 0
            crosses.append((change, other.clip, other_s))
    points = Points(changed, steps.score)
    rate = np.zeros(len(points.score))
    for change, clips, other_s in crosses:
        rate += points.total(change, clips) / other_s
    return points, scenario.alpha_ct * rate / max(len(others), 1)


def _staircase(efpr: Values, tpr: Values, e_max: float) -> _Curve:
    """Keep points at which the best true positive rate increases, starting at no false alarm."""
    within = efpr <= e_max
    efpr, tpr = np.append(0, efpr[within]), np.append(0, tpr[within])
    order = np.lexsort((-tpr, efpr))
    efpr, tpr = efpr[order], tpr[order]
    rises = np.append(True, tpr[1:] > np.maximum.accumulate(tpr)[:-1])
    return _Curve(efpr[rises], tpr[rises])
