from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from sedmtl.metrics import clip as clip_metrics


def average_precision_by_hand(truth, score):
    """Mean precision at the ranks of the positives; scores without ties."""
    order = np.argsort(-score)
    hits = truth[order] == 1
    return np.mean((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits])


def auc_by_hand(truth, score):
    """Share of positive–negative pairs in the right order."""
    return np.mean(score[truth == 1][:, None] > score[truth == 0][None])


@pytest.fixture
def random_scores():
    rng = np.random.default_rng(0)
    return (rng.random((50, 7)) < 0.3).astype(np.uint8), rng.random((50, 7))


def test_micro_p_ranks_all_pairs_of_clip_and_class_together(random_scores):
    target, score = random_scores
    expected = average_precision_by_hand(target.ravel(), score.ravel())
    assert clip_metrics.evaluate(target, score).micro_p == pytest.approx(expected, abs=1e-12)


def test_macro_p_and_auc_are_means_over_classes(random_scores):
    target, score = random_scores
    metrics = clip_metrics.evaluate(target, score)
    precision = [average_precision_by_hand(t, s) for t, s in zip(target.T, score.T, strict=True)]
    auc = [auc_by_hand(t, s) for t, s in zip(target.T, score.T, strict=True)]
    assert metrics.macro_p == pytest.approx(np.mean(precision), abs=1e-12)
    assert metrics.auc == pytest.approx(np.mean(auc), abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_decimals", [1, 2, 9])
def test_the_values_are_scikit_learns_ties_included(random_scores, n_decimals, dtype):
    target, score = random_scores[0], random_scores[1].round(n_decimals).astype(dtype)
    metrics, of_classes = clip_metrics.evaluate(target, score), clip_metrics.by_class(target, score)
    micro = average_precision_score(target, score, average="micro")
    assert metrics.micro_p == pytest.approx(micro, abs=1e-12)
    for each, reference in zip(of_classes, (average_precision_score, roc_auc_score), strict=True):
        np.testing.assert_allclose(each, reference(target, score, average=None), atol=1e-12)


def test_scores_that_are_nan_rank_nothing(random_scores):
    target, score = random_scores
    score[0] = np.nan
    assert np.isnan(clip_metrics.evaluate(target, score)[:3]).all()


def test_a_worked_example():
    """One class ranked 1, 0, 1, 0: precision 1 and 2/3 at the positives."""
    target = np.array([[1], [0], [1], [0]])
    score = np.array([[0.9], [0.8], [0.3], [0.1]])
    metrics = clip_metrics.evaluate(target, score)
    assert metrics.micro_p == metrics.macro_p == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.auc == pytest.approx(3 / 4)


def test_a_class_without_positives_is_left_out_and_counted(random_scores):
    target, score = random_scores
    without = target.copy()
    without[:, 2] = 0
    metrics = clip_metrics.evaluate(without, score)
    kept = [0, 1, 3, 4, 5, 6]
    of_kept = clip_metrics.evaluate(target[:, kept], score[:, kept])
    assert metrics.n_classes_scored == 6
    assert metrics.macro_p == pytest.approx(of_kept.macro_p)
    assert metrics.auc == pytest.approx(of_kept.auc)


def test_a_class_that_is_in_every_clip_has_a_precision_but_no_auc(random_scores):
    target, score = random_scores
    target[:, 0] = 1
    of_classes = clip_metrics.by_class(target, score)
    assert of_classes.ap[0] == 1
    assert np.isnan(of_classes.auc[0])
    assert clip_metrics.evaluate(target, score).n_classes_scored == 7


def test_without_any_positive_there_is_no_score():
    metrics = clip_metrics.evaluate(np.zeros((4, 3), int), np.random.default_rng(0).random((4, 3)))
    assert np.isnan([metrics.micro_p, metrics.macro_p, metrics.auc]).all()
    assert metrics.n_classes_scored == 0


def test_a_perfect_ranking_scores_one_and_a_constant_one_the_share_of_positives(random_scores):
    target, _ = random_scores
    assert clip_metrics.evaluate(target, target.astype(float))[:3] == (1, 1, 1)
    constant = clip_metrics.evaluate(target, np.full(target.shape, 0.5))
    assert constant.micro_p == pytest.approx(target.mean())
    assert constant.auc == pytest.approx(0.5)
