from __future__ import annotations

import numpy as np
import pytest
from sed_golden import events, golden, rows

from sedmtl.metrics import collar


@pytest.mark.parametrize("scenario", "AB")
@pytest.mark.parametrize(("family", "offset_s"), [("collar", 0.2), ("onset", None)])
def test_the_values_are_those_of_the_reference(scenario, family, offset_s):
    given = golden(scenario)
    metrics = collar.evaluate(given.truth, given.detected, given.n_classes, offset_s=offset_s)
    for name in ("f1_micro", "f1_macro", "error_rate_micro", "error_rate_macro"):
        wanted = given.expected[f"{family}_{name}"]
        assert getattr(metrics, name) == pytest.approx(wanted, abs=1e-9)
    np.testing.assert_allclose(metrics.f1, given.reference["f1"][family], atol=1e-9)


@pytest.mark.parametrize("scenario", "AB")
def test_the_values_after_a_median_filter_are_those_of_the_reference(scenario):
    given = golden(scenario)
    metrics = collar.evaluate(given.truth, given.detected_smoothed, given.n_classes)
    for name in ("f1_micro", "f1_macro"):
        wanted = given.expected[f"median7_zero_collar_{name}"]
        assert getattr(metrics, name) == pytest.approx(wanted, abs=1e-9)


def test_the_order_of_truths_and_detections_does_not_matter():
    given = golden("B")
    rng = np.random.default_rng(0)
    shuffled = [a.take(rng.permutation(len(a))) for a in (given.truth, given.detected)]
    metrics = collar.evaluate(*shuffled, given.n_classes)
    for name in ("f1_macro", "error_rate_micro"):
        assert getattr(metrics, name) == pytest.approx(given.expected[f"collar_{name}"], abs=1e-9)


def hits(truth, found, **collars):
    """True positives of one class, from F1 = 2 tp / (truths + detections)."""
    f1 = collar.evaluate(truth, found, 1, **collars).f1_micro
    return round(f1 * (len(truth.merged()) + len(found)) / 2, 9)


@pytest.mark.parametrize(
    ("onset_s", "offset_s", "n_hits"),
    [(3.2, 4.0, 1), (2.8, 4.0, 1), (3.0, 4.2, 1), (3.201, 4.0, 0), (3.0, 4.201, 0), (2.8, 3.8, 1)],
)
def test_a_distance_of_exactly_the_collar_is_within_it(onset_s, offset_s, n_hits):
    assert 3.2 - 3.0 > 0.2
    assert hits(events((0, 0, 3.0, 4.0)), events((0, 0, onset_s, offset_s))) == n_hits


def test_the_offset_collar_grows_with_the_truth():
    truth = events((0, 0, 1, 6))  # 5 s: a fifth is 1 s
    assert hits(truth, events((0, 0, 1, 7))) == 1
    assert hits(truth, events((0, 0, 1, 5))) == 1
    assert hits(truth, events((0, 0, 1, 7.01))) == 0
    assert hits(truth, events((0, 0, 1, 7)), offset_share=0.1) == 0


def test_without_an_offset_collar_only_onsets_count():
    assert hits(events((0, 0, 1, 2)), events((0, 0, 1.1, 9)), offset_s=None) == 1


def test_a_truth_is_matched_once():
    truth, found = events((0, 0, 1, 2)), events((0, 0, 0.9, 2), (0, 0, 1, 2), (0, 0, 1.1, 2))
    metrics = collar.evaluate(truth, found, 1)
    assert metrics.f1_micro == pytest.approx(2 / 4)
    assert metrics.error_rate_micro == 2


def test_the_matching_is_the_largest_where_the_first_choice_would_block_another():
    truth = events((0, 0, 1.0, 1.1), (0, 0, 1.3, 1.4))
    found = events((0, 0, 1.15, 1.2), (0, 0, 0.9, 1.0))  # the first matches both truths
    assert hits(truth, found, offset_s=None) == 2


def most_matches(truths, found, is_near):
    """The size of the largest one-to-one matching, by brute force."""
    if not truths:
        return 0
    first, *others = truths
    best = most_matches(others, found, is_near)
    for k, candidate in enumerate(found):
        if is_near(first, candidate):
            rest = found[:k] + found[k + 1 :]
            best = max(best, 1 + most_matches(others, rest, is_near))
    return best


@pytest.mark.parametrize("seed", range(8))
def test_the_matching_is_as_large_as_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    onset_ms = np.arange(5) * 150 + rng.integers(0, 100, 5)
    truth = events(*((0, 0, o / 1000, (o + 40) / 1000) for o in onset_ms.tolist()))
    found_ms = rng.integers(0, 900, 6)
    found = events(*((0, 0, o / 1000, (o + 40) / 1000) for o in found_ms.tolist()))
    wanted = most_matches(rows(truth), rows(found), lambda t, f: round(abs(t[2] - f[2]), 6) <= 0.1)
    assert hits(truth, found, onset_s=0.1) == wanted


def test_overlapping_truths_are_merged_first():
    truth = events((0, 0, 1, 2), (0, 0, 1.5, 3))
    metrics = collar.evaluate(truth, events((0, 0, 1, 3)), 1)
    assert (metrics.f1_micro, metrics.error_rate_micro) == (1, 0)


def test_the_end_of_a_clip_is_not_near_the_start_of_the_next():
    truth = events((0, 0, 9.9, 10.0), (1, 1, 0.0, 0.1))
    found = events((1, 0, 0.0, 0.1), (0, 1, 9.9, 10.0))
    metrics = collar.evaluate(truth, found, 2)
    assert metrics.f1_micro == 0
    # Each detection coincides with the other class's event: two substitutions.
    assert metrics.error_rate_micro == 1
    assert metrics.error_rate_macro == 2


def test_a_substitution_uses_up_its_detection():
    truth = events((0, 0, 1, 2), (0, 1, 1.1, 2))
    found = events((0, 2, 1.05, 2), (0, 2, 5, 6))
    metrics = collar.evaluate(truth.take(np.array([1, 0])), found, 3)
    assert metrics.error_rate_micro == 1  # class 2 has no truth: two misses
    truth = events(*rows(truth), (0, 2, 8, 9))
    metrics = collar.evaluate(truth, found, 3)
    assert metrics.error_rate_micro == pytest.approx((1 + 2 + 1) / 3)  # S + D + I


def test_a_matched_event_is_not_a_substitution():
    truth = events((0, 0, 1, 2), (0, 1, 1, 2))
    metrics = collar.evaluate(truth, events((0, 0, 1, 2)), 2)
    assert metrics.error_rate_micro == pytest.approx(1 / 2)


def test_detections_of_a_class_without_truth_are_dropped_and_the_class_not_counted():
    metrics = collar.evaluate(events((0, 1, 0, 2)), events((0, 1, 0, 2), (0, 0, 3, 4)), 2)
    assert (metrics.f1_micro, metrics.error_rate_micro, metrics.n_classes_scored) == (1, 0, 1)
    assert np.isnan(metrics.f1).tolist() == [True, False]


def test_without_any_truth_there_is_no_score_and_without_detections_it_is_zero():
    metrics = collar.evaluate(events(), events((0, 0, 0, 1)), 1)
    assert np.isnan([metrics.f1_micro, metrics.error_rate_macro]).all()
    metrics = collar.evaluate(events((0, 0, 0, 1)), events(), 1)
    assert (metrics.f1_micro, metrics.error_rate_micro) == (0, 1)
