from __future__ import annotations

import numpy as np
import pytest
from sed_golden import detections, events, golden, naive_overlap, naive_truths, random_case

from sedmtl.metrics import segment


@pytest.mark.parametrize("scenario", "AB")
def test_the_values_are_those_of_the_reference(scenario):
    given = golden(scenario)
    metrics = segment.evaluate(given.truth, given.detected, given.n_classes, given.durations_s)
    for name in ("f1_micro", "f1_macro", "error_rate_micro", "error_rate_macro"):
        wanted = given.expected[f"segment_{name}"]
        assert getattr(metrics, name) == pytest.approx(wanted, abs=1e-9)
    np.testing.assert_allclose(metrics.f1, given.reference["f1"]["segment"], atol=1e-9)


@pytest.mark.parametrize("scenario", "AB")
def test_the_values_after_a_median_filter_are_those_of_the_reference(scenario):
    given = golden(scenario)
    metrics = segment.evaluate(
        given.truth, given.detected_smoothed, given.n_classes, given.durations_s
    )
    for name in ("f1_micro", "f1_macro"):
        wanted = given.expected[f"median7_zero_segment_{name}"]
        assert getattr(metrics, name) == pytest.approx(wanted, abs=1e-9)


def test_a_worked_example():
    """4 segments. Class 0: true in 0, 1; found in 1, 2. Class 1: true in 2; found in 0, 2."""
    truth = events((0, 0, 0.5, 1.5), (0, 1, 2.1, 2.9))
    found = events((0, 0, 1.9, 2.1), (0, 1, 0.0, 0.1), (0, 1, 2.8, 3.0))
    metrics = segment.evaluate(truth, found, 2, np.array([4.0]))
    assert metrics.f1.tolist() == pytest.approx([1 / 2, 2 / 3])
    assert metrics.f1_macro == pytest.approx(7 / 12)
    assert metrics.f1_micro == pytest.approx(4 / 7)
    assert metrics.error_rate_macro == pytest.approx((2 / 2 + 1 / 1) / 2)
    # Segment 0: class 0 missed, class 1 false, one substitution; segment 2: one insertion.
    assert metrics.error_rate_micro == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", range(3))
def test_a_class_is_active_where_any_event_of_it_overlaps_the_segment(seed):
    """Counted with two loops, in clips of 4 segments of 0.1 s."""
    case = random_case(seed)
    detected = detections(case.frame > 0.7, case.edges_s)
    metrics = segment.evaluate(case.truth, detected, 3, np.full(4, 0.4), segment_s=0.1)
    for label in range(3):
        tp = fp = fn = 0
        for clip in range(4):
            for k in range(4):
                true, found = (
                    naive_overlap((k / 10, (k + 1) / 10), naive_truths(of, clip, label)) > 1e-9
                    for of in (case.truth, detected)
                )
                tp, fp, fn = tp + (true and found), fp + (found > true), fn + (true > found)
        assert metrics.f1[label] == pytest.approx(2 * tp / (2 * tp + fp + fn))


def test_an_event_that_ends_on_a_boundary_does_not_touch_the_next_segment():
    metrics = segment.evaluate(events((0, 0, 3, 4)), events((0, 0, 2, 3)), 1, np.array([10.0]))
    assert metrics.f1_micro == 0
    assert metrics.error_rate_macro == 2


def test_each_clip_ends_with_its_own_last_segment():
    """Clips of 1.5 s and 4 s: detections after the first clip's second segment do not count."""
    truth = events((0, 0, 0, 1), (1, 0, 0, 4))
    found = events((0, 0, 0, 9), (1, 0, 0, 4))
    metrics = segment.evaluate(truth, found, 1, np.array([1.5, 4.0]))
    assert metrics.f1_micro == pytest.approx(2 * 5 / (5 + 6))


def test_detections_of_a_class_without_truth_are_dropped_and_the_class_not_counted():
    truth = events((0, 1, 0, 2))
    found = events((0, 1, 0, 2), (0, 0, 0, 9), (0, 2, 3, 4))
    metrics = segment.evaluate(truth, found, 3, np.array([10.0]))
    assert (metrics.f1_micro, metrics.error_rate_micro, metrics.n_classes_scored) == (1, 0, 1)
    assert np.isnan(metrics.f1).tolist() == [True, False, True]


def test_a_class_that_is_never_found_counts_as_zero():
    truth = events((0, 0, 0, 1), (0, 1, 0, 1))
    metrics = segment.evaluate(truth, events((0, 0, 0, 1)), 2, np.array([2.0]))
    assert metrics.f1.tolist() == [1, 0]
    assert (metrics.f1_macro, metrics.error_rate_macro) == (0.5, 0.5)


def test_without_any_truth_there_is_no_score():
    metrics = segment.evaluate(events(), events((0, 0, 0, 1)), 2, np.array([2.0]))
    assert np.isnan([metrics.f1_micro, metrics.f1_macro, metrics.error_rate_micro]).all()
    assert metrics.n_classes_scored == 0


def test_without_any_detection_all_is_missed():
    metrics = segment.evaluate(events((0, 0, 0, 1)), events(), 1, np.array([2.0]))
    assert (metrics.f1_micro, metrics.error_rate_micro, metrics.error_rate_macro) == (0, 1, 1)
