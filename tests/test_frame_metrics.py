from __future__ import annotations

import numpy as np
import pytest
from sed_golden import events, golden
from sklearn.metrics import average_precision_score

from sedmtl.metrics import frame as frame_metrics


def flat(values):
    """(n, C, T) -> (n T, C)."""
    return np.moveaxis(values, 1, 2).reshape(-1, values.shape[1])


def scored(dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    target = rng.random((4, 5, 60)) < 0.2
    return target, (0.3 * target + rng.random(target.shape)).astype(dtype)


@pytest.mark.parametrize("scenario", "AB")
def test_the_values_are_those_of_the_reference(scenario):
    given = golden(scenario)
    target = frame_metrics.targets(given.truth, *given.frame.shape[:2], given.edges_s)
    metrics = frame_metrics.evaluate(target, given.frame)
    assert metrics.ap_micro == pytest.approx(given.expected["frame_ap_micro"], abs=1e-9)
    assert metrics.ap_macro == pytest.approx(given.expected["frame_ap_macro"], abs=1e-9)
    np.testing.assert_allclose(metrics.ap, given.reference["frame_ap"], atol=1e-9)


@pytest.mark.parametrize("decimals", [4, 1])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_it_is_the_average_precision_of_scikit_learn_ties_included(dtype, decimals):
    target, score = scored()
    score = np.round(score, decimals).astype(dtype)
    metrics = frame_metrics.evaluate(target, score)
    t, s = flat(target), flat(score).astype(np.float64)
    assert metrics.ap == pytest.approx(average_precision_score(t, s, average=None), abs=1e-12)
    assert metrics.ap_micro == pytest.approx(average_precision_score(t, s, average="micro"))
    assert metrics.ap_macro == pytest.approx(average_precision_score(t, s, average="macro"))
    assert metrics.n_classes_scored == 5


def test_a_class_without_positives_is_left_out_of_both_means():
    target, score = scored()
    without = target.copy()
    without[:, 2] = False
    kept = [0, 1, 3, 4]
    metrics = frame_metrics.evaluate(without, score)
    of_kept = frame_metrics.evaluate(target[:, kept], score[:, kept])
    assert metrics[:3] == of_kept[:3]
    assert np.isnan(metrics.ap).tolist() == [False, False, True, False, False]


def test_scoring_leaves_its_input_alone():
    target, score = scored()
    before = score.copy()
    frame_metrics.evaluate(target, score)
    np.testing.assert_array_equal(score, before)


def test_a_perfect_ranking_scores_one_and_a_constant_one_the_share_of_positives():
    target, _ = scored()
    assert frame_metrics.evaluate(target, target.astype(float))[:2] == (1, 1)
    constant = frame_metrics.evaluate(target, np.zeros(target.shape))
    assert constant.ap_micro == pytest.approx(target.mean())


def test_without_any_positive_there_is_no_score():
    metrics = frame_metrics.evaluate(np.zeros((2, 3, 4), bool), np.ones((2, 3, 4)))
    assert np.isnan(metrics[:2]).all()
    assert metrics.n_classes_scored == 0


def test_a_frame_is_positive_where_its_centre_lies_in_the_truth():
    """Frames of 0.2 s with centres 0.1, 0.3, 0.5: an onset counts, an offset does not."""
    edges_s = np.array([0, 0.2, 0.4, 0.6])
    truth = events((0, 0, 0.1, 0.3), (0, 1, 0.11, 0.5), (1, 0, 0.2, 9.0), (1, 1, 0.31, 0.49))
    assert frame_metrics.targets(truth, 2, 2, edges_s).astype(int).tolist() == [
        [[1, 0, 0], [0, 1, 0]],
        [[0, 1, 1], [0, 0, 0]],
    ]
