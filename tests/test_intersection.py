from __future__ import annotations

import numpy as np
import pytest
from sed_golden import detections, events, golden, naive_counts, random_case

from sedmtl.metrics import intersection
from sedmtl.metrics.sweep import sweep


@pytest.mark.parametrize("scenario", "AB")
def test_the_values_are_those_of_the_reference(scenario):
    given = golden(scenario)
    metrics = intersection.evaluate(given.truth, given.detected, given.n_classes)
    assert metrics.f1_micro == pytest.approx(given.expected["intersection_f1_micro"], abs=1e-9)
    assert metrics.f1_macro == pytest.approx(given.expected["intersection_f1_macro"], abs=1e-9)
    np.testing.assert_allclose(metrics.f1, given.reference["f1"]["intersection"], atol=1e-9)
    assert np.isnan([metrics.error_rate_micro, metrics.error_rate_macro]).all()


@pytest.mark.parametrize("scenario", "AB")
def test_the_value_after_a_median_filter_is_that_of_the_reference(scenario):
    given = golden(scenario)
    metrics = intersection.evaluate(given.truth, given.detected_smoothed, given.n_classes)
    wanted = given.expected["median7_zero_intersection_f1_macro"]
    assert metrics.f1_macro == pytest.approx(wanted, abs=1e-9)


def f1(truth, found, **criteria):
    return intersection.evaluate(truth, found, 1, **criteria).f1_micro


def test_exactly_the_share_is_enough():
    truth = events((0, 0, 1.0, 2.0))
    assert f1(truth, events((0, 0, 1.5, 2.5))) == 1
    assert f1(truth, events((0, 0, 1.501, 2.501))) == 0
    truth, found = events((0, 0, 0, 0.3)), events((0, 0, 0.2, 0.3))  # 0.3 - 0.2 < 0.1
    assert f1(truth, found, dtc=1, gtc=1 / 3) == 1


def test_a_valid_detection_of_a_missed_event_is_neither_hit_nor_false_alarm():
    truth = events((0, 0, 0, 4), (0, 0, 6, 7))
    found = events((0, 0, 1, 2), (0, 0, 6, 7))
    assert f1(truth, found) == pytest.approx(2 / (1 + 2))


def test_detections_that_fail_do_not_help_to_find_a_truth():
    """The second detection covers the rest of the event, but lies mostly outside it."""
    found = events((0, 0, 0, 0.4), (0, 0, 0.5, 9))
    assert f1(events((0, 0, 0, 1)), found) == 0


def test_several_detections_find_a_truth_together_and_one_detection_finds_several():
    many = events((0, 0, 0, 0.3), (0, 0, 0.5, 0.8))
    one = events((0, 0, 0, 1))
    assert f1(one, many) == 1
    assert f1(many, one) == 1


def test_overlapping_truths_are_merged_first():
    truth = events((0, 0, 0, 2), (0, 0, 1, 3))
    assert f1(truth, events((0, 0, 0, 3))) == 1
    # Counted twice, the overlap of 1 s would become 2 s of 4 s.
    assert f1(truth, events((0, 0, 1, 5)), dtc=0.6) == 0


def test_only_truths_of_the_same_clip_and_class_count():
    truth = events((0, 0, 0, 1), (1, 1, 0, 1))
    metrics = intersection.evaluate(truth, events((0, 1, 0, 1), (1, 0, 0, 1)), 2)
    assert metrics.f1.tolist() == [0, 0]


def test_detections_of_a_class_without_truth_are_dropped_and_the_class_not_counted():
    metrics = intersection.evaluate(events((0, 1, 0, 2)), events((0, 1, 0, 2), (0, 0, 3, 4)), 2)
    assert (metrics.f1_micro, metrics.f1_macro, metrics.n_classes_scored) == (1, 1, 1)
    assert np.isnan(metrics.f1).tolist() == [True, False]


def test_without_any_truth_there_is_no_score_and_without_detections_it_is_zero():
    assert np.isnan(f1(events(), events((0, 0, 0, 1))))
    assert f1(events((0, 0, 0, 1)), events()) == 0


def at(swept, threshold):
    """Counts of a sweep at a threshold: those of the last point not below it."""
    reached = np.searchsorted(-swept.score, -threshold, "right")
    return (0, 0) if reached == 0 else (swept.tp[reached - 1], swept.fp[reached - 1])


@pytest.mark.parametrize("n_levels", [None, 3, 8])
@pytest.mark.parametrize("criteria", [(0.5, 0.5), (0.7, 0.7), (0.1, 0.1), (0.3, 1.0)])
@pytest.mark.parametrize("seed", range(3))
def test_a_sweep_counts_at_every_threshold_what_two_loops_count(seed, criteria, n_levels):
    case = random_case(seed, n_levels)
    for label in range(3):
        swept = sweep(case.truth, label, case.frame[:, label], case.edges_s, *criteria)
        for threshold in [*np.unique(case.frame[:, label]), 0.2501, 2.0, -1.0]:
            assert at(swept, threshold) == naive_counts(case, label, threshold, *criteria)[:2]
        assert (np.diff(swept.score) < 0).all()
        assert swept.n_truths == (case.truth.merged().label == label).sum()


@pytest.mark.parametrize("scenario", "AB")
def test_a_sweep_gives_the_reference_counts_at_one_half(scenario):
    given = golden(scenario)
    for name, criterion in [("dtc07_gtc07", 0.7), ("dtc01_gtc01_cttc03", 0.1)]:
        wanted = given.reference["counts_at_050"][name]
        for label in range(given.n_classes):
            swept = sweep(
                given.truth, label, given.frame[:, label], given.edges_s, *[criterion] * 2
            )
            assert at(swept, 0.5) == (wanted["tp"][label], wanted["fp"][label])
            assert swept.n_truths == wanted["n_ref"][label]


def test_a_sweep_and_an_evaluation_agree_at_each_threshold():
    given = golden("A")
    swept = sweep(given.truth, 2, given.frame[:, 2], given.edges_s, 0.5, 0.5)
    for k in range(0, len(swept.score), 50):
        found = detections(given.frame >= swept.score[k], given.edges_s)
        wanted = intersection.evaluate(given.truth, found, given.n_classes).f1[2]
        hits = 2 * swept.tp[k] / (swept.tp[k] + swept.fp[k] + swept.n_truths)
        assert hits == pytest.approx(wanted, abs=1e-12)


def test_a_sweep_of_tied_scores_has_one_point():
    truth, edges_s = events((0, 0, 0, 0.4), (1, 0, 0, 1)), np.arange(11) / 10
    swept = sweep(truth, 0, np.full((3, 10), 0.25), edges_s, 0.5, 0.5)
    assert [column.tolist() for column in swept[:3]] == [[0.25], [1], [2]]


def test_a_sweep_of_a_class_without_truth_has_false_alarms_only():
    swept = sweep(events(), 0, np.array([[0.9, 0.1, 0.8]]), np.arange(4.0), 0.5, 0.5)
    assert [column.tolist() for column in swept[:3]] == [[0.9, 0.8, 0.1], [0, 0, 0], [1, 2, 1]]
    assert swept.n_truths == 0


def test_more_truths_of_a_clip_than_a_byte_counts_are_found_at_once():
    truth = events(*((0, 0, t, t + 0.5) for t in range(300)))
    swept = sweep(truth, 0, np.ones((1, 300)), np.arange(301.0), 0.5, 0.5)
    assert (swept.tp.tolist(), swept.fp.tolist()) == ([300], [0])
