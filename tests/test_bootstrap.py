from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from sedmtl.metrics import clip as clip_metrics
from sedmtl.metrics.bootstrap import _score_draws, bootstrap, interval


def scored(n=60, n_classes=4, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    target = (rng.random((n, n_classes)) < 0.3).astype(np.uint8)
    score = 0.5 * target + rng.random((n, n_classes))
    return target, np.round(score, 1) if ties else score


@pytest.mark.parametrize("ties", [False, True])
def test_a_draw_scores_what_scikit_learn_scores_on_its_clips(ties):
    target, score = scored(ties=ties)
    weights = np.random.default_rng(1).multinomial(60, np.full(60, 1 / 60), size=5)
    draws = _score_draws(target, score, weights)
    for k, weight in enumerate(weights):
        rows = np.repeat(np.arange(60), weight)
        t, s = target[rows], score[rows]
        assert draws.micro_p[k] == pytest.approx(average_precision_score(t, s, average="micro"))
        assert draws.macro_p[k] == pytest.approx(average_precision_score(t, s, average="macro"))
        assert draws.auc[k] == pytest.approx(roc_auc_score(t, s, average="macro"))


def test_each_clip_once_is_the_metric_itself():
    target, score = scored(ties=True)
    draws = _score_draws(target, score, np.ones((1, 60), np.int64))
    metrics = clip_metrics.evaluate(target, score)
    assert (draws.micro_p[0], draws.macro_p[0], draws.auc[0]) == pytest.approx(metrics[:3])


def test_a_draw_without_a_positive_of_a_class_leaves_the_class_out():
    target, score = scored()
    weights = np.where(target[:, 0] == 1, 0, 1)[None]
    draws = _score_draws(target, score, weights)
    rows = target[:, 0] == 0
    kept = clip_metrics.evaluate(target[rows], score[rows])
    assert kept.n_classes_scored == 3
    assert draws.macro_p[0] == pytest.approx(kept.macro_p)


def test_the_same_generator_gives_the_same_draws_and_all_that_were_asked_for():
    first, second = (bootstrap(*scored(), 120, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first.micro_p, second.micro_p)
    assert first.auc.shape == (120,)


def test_the_interval_covers_the_metric_and_narrows_with_more_clips():
    widths = []
    for n in (50, 800):
        target, score = scored(n)
        low, high = interval(bootstrap(target, score, 200, np.random.default_rng(0)).micro_p)
        assert low < clip_metrics.evaluate(target, score).micro_p < high
        widths.append(high - low)
    assert 2 < widths[0] / widths[1] < 8  # in theory 4


def test_the_interval_is_the_middle_of_the_draws():
    assert interval(np.arange(1001.0)) == pytest.approx((25, 975))
    assert np.isnan(interval(np.full(3, np.nan))).all()


def test_without_any_positive_there_is_no_interval():
    draws = bootstrap(np.zeros((9, 2), int), np.random.default_rng(0).random((9, 2)), 5,
                      np.random.default_rng(0))  # fmt: skip
    assert np.isnan(draws.micro_p).all()
    assert np.isnan(draws.auc).all()
