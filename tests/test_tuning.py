"""Thresholds from validation clips: against brute force, and by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import signal
from sed_golden import detections
from sklearn.metrics import f1_score

from sedmtl.inference.boxes import boxes
from sedmtl.inference.postprocess import segment
from sedmtl.inference.timelines import Timelines
from sedmtl.metrics import intersection
from sedmtl.metrics.annotation import Annotation
from sedmtl.training.tuning import MEDIANS_S, STEPS_S, tune, tune_tags

HOP_S = 0.1
N_MEDIANS = {0.0: 1, 0.2: 3, 0.4: 5, 0.8: 9, 1.6: 17}  # in frames of 0.1 s


def tags(score, target):
    """The threshold of one class."""
    (threshold,) = tune_tags(np.array(score)[:, None], np.array(target)[:, None])
    return threshold


def tuned(frame, clip, target, truth=None):
    edges_s = HOP_S * np.arange(frame.shape[2] + 1)
    return tune(Timelines(frame, clip, None), target, truth, edges_s, HOP_S).best


def random_clips(seed, n=8, n_classes=3, n_frames=25):
    """Frame scores and clip scores that correlate with the returned strong labels."""
    rng = np.random.default_rng(seed)
    clip, label = np.nonzero(rng.random((n, n_classes)) < 0.6)
    onset_s = rng.uniform(0, 1.5, len(clip))
    truth = Annotation(clip, label, onset_s, onset_s + rng.uniform(0.2, 1.0, len(clip)))
    centre_s = HOP_S * (np.arange(n_frames) + 0.5)
    known = np.zeros((n, n_classes, n_frames))
    for c, k, onset, offset in zip(clip, label, truth.onset_s, truth.offset_s, strict=True):
        known[c, k] = (onset <= centre_s) & (centre_s < offset)
    frame = np.round(0.5 * known + 0.5 * rng.random(known.shape), 2).astype(np.float32)
    target = known.any(axis=2).astype(np.uint8)
    score = np.round(0.4 * target + 0.6 * rng.random(target.shape), 2).astype(np.float32)
    return frame, score, target, truth


# One class, by hand.


def test_the_threshold_is_in_the_middle_of_where_the_best_f1_holds():
    # F1 at each score: 2/3, 1/2, 4/5, 2/3.
    assert tags([0.9, 0.8, 0.6, 0.4], [1, 0, 1, 0]) == pytest.approx(0.5)


def test_neighbouring_scores_that_are_equally_good_hold_together():
    # Both points have F1 2/3: (tp 1, fp 0) from 0.9 down to 0.3, (tp 2, fp 2) below.
    assert tags([0.9, 0.3, 0.3, 0.3], [1, 1, 0, 0]) == pytest.approx(0.45)


def test_the_widest_of_equally_good_ranges_is_taken():
    # F1 is 2/3 from 0.9 to 0.8 and again from 0.3 to 0, and lower between.
    assert tags([0.9, 0.8, 0.75, 0.3], [1, 0, 0, 1]) == pytest.approx(0.15)


def test_clips_of_equal_score_stand_or_fall_together():
    assert tags([0.7, 0.7, 0.2], [1, 0, 0]) == pytest.approx(0.45)


def test_a_threshold_lies_in_0_to_1_even_where_all_scores_are_1_or_0():
    assert tags([1.0, 1.0], [1, 1]) == 0.5
    assert tags([1.0, 0.0], [1, 0]) == 0.5
    # No threshold from 0 on finds a clip of score 0.
    assert tags([1.0, 0.0], [1, 1]) == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_has_a_better_f1(seed):
    rng = np.random.default_rng(seed)
    target = (rng.random((30, 4)) < 0.4).astype(np.uint8)
    score = np.round(0.3 * target + 0.7 * rng.random((30, 4)), 1).astype(np.float32)
    for k, threshold in enumerate(tune_tags(score, target)):
        reached = f1_score(target[:, k], score[:, k] > threshold)
        assert reached == max(
            f1_score(target[:, k], score[:, k] > t, zero_division=0) for t in [0, *score[:, k]]
        )


# Classes without validation data.


def test_a_class_without_truth_or_hope_gets_the_median_of_the_others():
    score = np.array([[0.9, 0.8, 0.4, 0.6, 0.0], [0.1, 0.2, 0.2, 0.3, 0.5]])
    target = np.array([[1, 1, 1, 0, 1], [0, 0, 0, 0, 0]])
    thresholds = tune_tags(score, target)
    assert thresholds[:3] == pytest.approx((0.5, 0.5, 0.3))
    assert thresholds[3] == pytest.approx(0.5)  # no true event
    assert tune_tags(score[:, [0, 2, 4]], target[:, [0, 2, 4]])[2] == pytest.approx(0.4)


def test_without_any_truth_all_is_neutral():
    frame, clip, target, truth = random_clips(0)
    nothing = truth.take(np.zeros(len(truth), bool))
    for settings in (
        tuned(frame, clip, np.zeros_like(target)),
        tuned(frame, clip, np.zeros_like(target), nothing),
    ):
        assert settings.threshold == (0.5, 0.5, 0.5)
        assert (settings.median_s, settings.gated) == (0.0, False)


# Median and gating.


def test_the_shorter_filter_and_no_gating_win_ties():
    frame = np.zeros((2, 1, 20), np.float32)
    frame[0, 0, 2:18] = 0.8
    settings = tuned(frame, np.array([[0.9], [0.9]]), np.array([[1], [0]]))
    assert (settings.median_s, settings.gated) == (0.0, False)
    assert settings.threshold == pytest.approx((0.4,))


def test_a_filter_is_chosen_where_false_alarms_are_short():
    frame = np.zeros((2, 1, 20), np.float32)
    frame[0, 0, 5:8] = 0.6
    frame[1, 0, [3, 9, 15]] = 0.9
    settings = tuned(frame, np.ones((2, 1)), np.array([[1], [0]]))
    assert (settings.median_s, settings.gated) == (0.2, False)


def test_gating_is_chosen_where_only_the_clip_score_knows():
    frame = np.full((3, 1, 20), 0.6, np.float32)
    frame[2] = 0.9
    settings = tuned(frame, np.array([[0.9], [0.8], [0.1]]), np.array([[1], [1], [0]]))
    assert (settings.median_s, settings.gated) == (0.0, True)
    assert settings.threshold == pytest.approx(((0.6 * 0.8 + 0.9 * 0.1) / 2,))


@pytest.fixture
def patchy():
    """Frame scores of an event from 0.4 to 2 s, mostly below those of a false alarm."""
    frame = np.zeros((2, 1, 25), np.float32)
    frame[0, 0, 4:20] = [0.9, 0.3, 0.3, 0.3] * 4
    frame[1, 0, 4:20] = 0.5
    return frame


def test_boxes_are_chosen_where_no_threshold_finds_an_event_as_a_whole(patchy):
    frame, clip, target = patchy, np.array([[0.9], [0.8]]), np.array([[1], [0]])
    truth = Annotation(np.array([0]), np.array([0]), np.array([0.4]), np.array([2.0]))
    settings = tuned(frame, clip, target, truth)
    assert settings.step_s > 0
    assert (settings.median_s, settings.gated) == (0.0, True)
    events = segment(0.9 * frame[0], settings, [0], HOP_S)
    assert [(e.onset_s, e.offset_s) for e in events] == [pytest.approx((0.4, 2.0))]
    assert segment(0.8 * frame[1], settings, [0], HOP_S) == []


def test_boxes_are_never_chosen_without_strong_labels(patchy):
    assert tuned(patchy, np.ones((2, 1)), np.array([[1], [0]])).step_s == 0


# Against brute force.

WAYS = [*product(MEDIANS_S, (False, True), (0.0,)), *product((0.0,), (True,), STEPS_S)]
"""Median, gating and boxes, in the order in which ties are broken."""


def filtered(frame, clip, median_s, gated, step_s):
    scores = frame * clip[:, :, None] if gated else frame
    if step_s:
        return boxes(scores, round(step_s / HOP_S))
    return np.apply_along_axis(signal.medfilt, 2, scores, N_MEDIANS[median_s])


def way_of(settings):
    return settings.median_s, settings.gated, settings.step_s


def strong_f1(scores, threshold, truth):
    """The F1 (C,) of detections above the thresholds (C,)."""
    edges_s = HOP_S * np.arange(scores.shape[2] + 1)
    active = scores > np.array(threshold)[:, None]
    return intersection.evaluate(truth, detections(active, edges_s), scores.shape[1]).f1


def weak_f1(scores, threshold, target):
    found = scores.max(axis=2) > np.array(threshold)
    return 2 * (target & found).sum(axis=0) / (target.sum(axis=0) + found.sum(axis=0))


@pytest.mark.slow
@pytest.mark.parametrize("strong", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_no_other_setting_or_threshold_does_better(seed, strong):
    frame, clip, target, truth = random_clips(seed)
    f1, known = (strong_f1, truth) if strong else (weak_f1, target)
    settings = tuned(frame, clip, target, truth if strong else None)
    chosen = filtered(frame, clip, *way_of(settings))
    reached = f1(chosen, settings.threshold, known)

    best = {}
    for way in WAYS if strong else WAYS[: 2 * len(MEDIANS_S)]:
        scores = filtered(frame, clip, *way)
        thresholds = [0.0, *np.unique(scores)]
        best[way] = np.max([f1(scores, [t] * 3, known) for t in thresholds], axis=0)
    np.testing.assert_allclose(reached, best[way_of(settings)])
    highest = max(f1_of_classes.mean() for f1_of_classes in best.values())
    assert reached.mean() == pytest.approx(highest)
    first = next(key for key, value in best.items() if value.mean() > highest - 1e-9)
    assert way_of(settings) == first


def test_segmenting_with_tuned_settings_reaches_the_tuned_f1():
    frame, clip, target, truth = random_clips(7)
    settings = tuned(frame, clip, target, truth)
    scores = frame * clip[:, :, None] if settings.gated else frame
    rows = [
        (i, *event) for i, f in enumerate(scores) for event in segment(f, settings, range(3), HOP_S)
    ]
    row, label, onset_s, offset_s, _ = map(np.array, zip(*rows, strict=True))
    found = Annotation(row, label, onset_s, offset_s)
    reached = intersection.evaluate(truth, found, 3).f1
    expected = strong_f1(filtered(frame, clip, *way_of(settings)), settings.threshold, truth)
    np.testing.assert_allclose(reached, expected)


def test_half_precision_scores_give_the_thresholds_of_their_values():
    frame, clip, target, truth = random_clips(2)
    half = frame.astype(np.float16)
    assert tuned(half, clip, target, truth) == tuned(half.astype(np.float32), clip, target, truth)
