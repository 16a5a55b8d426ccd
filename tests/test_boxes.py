"""Frame scores to boxes: worked examples, properties, and limit cases."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sedmtl.inference.boxes import boxes
from sedmtl.metrics import psds
from sedmtl.metrics.annotation import Annotation


def found(scores, n_frames, pause=0.5):
    """Start, end and confidence of each box in one row."""
    row = boxes(np.array(scores, np.float32), n_frames, pause)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row > 0, [0]])))
    return [(s, e, pytest.approx(row[s])) for s, e in edges.reshape(-1, 2).tolist()]


def random_rows(seed, n=40, n_frames=60):
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.random((n, n_frames // 6)) ** 3, 6, axis=1)
    return (0.8 * level + 0.2 * rng.random((n, n_frames))).astype(np.float32)


# Worked examples.


def test_a_box_has_one_confidence_from_its_onset_to_its_offset():
    # The sum of two frames after each edge minus that of two before, at edges 0 to 8:
    # 0, 0.25, 1, 1.25, 0.25, -1, -1.25, -0.5, 0.
    scores = [0, 0, 0.25, 0.75, 0.75, 0.5, 0, 0]
    np.testing.assert_array_equal(boxes(np.array(scores), 2), [0, 0, 0, 0.75, 0.75, 0.75, 0, 0])


def test_the_confidence_is_the_highest_mean_over_half_the_filter():
    assert found([0, 0, 0, 0.5, 0.5, 1, 1, 0.6, 0, 0, 0], 4) == [(3, 8, 1.0)]
    assert found([0, 0, 0, 0.5, 0.5, 1, 1, 0.6, 0, 0, 0], 6) == [(3, 8, (1 + 1 + 0.6) / 3)]


def test_a_box_shorter_than_half_the_filter_is_filled_up_with_silence():
    assert found([0] * 6 + [0.9, 0.9] + [0] * 6, 8) == [(6, 8, 0.9 * 2 / 4)]


def test_two_events_with_a_deep_gap_between_them_stay_two():
    assert found([0.8] * 6 + [0.3] * 6 + [0.7] * 6, 4) == [(0, 6, 0.8), (12, 18, 0.7)]


def test_two_events_with_a_shallow_gap_between_them_are_one():
    assert found([0.8] * 6 + [0.6] * 6 + [0.7] * 6, 4) == [(0, 18, 0.8)]


def test_a_gap_counts_against_the_lower_of_its_neighbours():
    assert found([0.8] * 6 + [0.3] * 6 + [0.5] * 6, 4) == [(0, 6, 0.8)]
    assert found([0.8] * 6 + [0.3] * 6 + [0.6] * 6, 4) == [(0, 6, 0.8), (12, 18, 0.6)]


def test_noise_beside_an_event_does_not_stretch_it():
    """A candidate hardly above its gap belongs to the gap."""
    noise = [0.01, 0.01, 0.02] * 6
    boxed = found(noise + [0.9] * 10 + noise, 5)
    assert (18, 28, 0.9) in boxed
    assert all(s == 18 or confidence.expected < 0.02 for s, _, confidence in boxed)


def test_the_steepest_of_several_rises_is_the_onset():
    scores = [0] * 6 + [0.2] * 6 + [0.15] * 6 + [0.9] * 6 + [0] * 6
    assert found(scores, 3) == [(18, 24, 0.9)]


# Properties.


@pytest.mark.parametrize("n_frames", [1, 2, 5, 7, 12, 40])
@pytest.mark.parametrize("start", [0, 1, 9, 30])
@pytest.mark.parametrize("score", [1.0, 0.3, 1e-3])
def test_a_rectangle_is_one_box_with_its_edges(n_frames, start, score):
    scores = np.zeros(40, np.float32)
    scores[start : start + 10] = score
    share = min(1, 10 / ((n_frames + 1) // 2))
    assert found(scores, n_frames) == [(start, start + 10, share * score)]


@pytest.mark.parametrize("n_frames", [1, 4, 15])
def test_a_louder_clip_has_the_same_boxes(n_frames):
    """Gating therefore scales confidences and keeps extents."""
    rows = random_rows(0)
    # Halving is exact; other factors change the last digits of sums.
    np.testing.assert_array_equal(boxes(rows / 2, n_frames) * 2 > 0, boxes(rows, n_frames) > 0)
    np.testing.assert_allclose(boxes(rows / 2, n_frames) * 2, boxes(rows, n_frames), atol=1e-6)


def test_time_reversed_scores_have_reversed_boxes():
    rows = random_rows(1)
    np.testing.assert_array_equal(boxes(rows[:, ::-1], 5)[:, ::-1], boxes(rows, 5))


def test_silence_before_a_recording_moves_its_boxes():
    rows = random_rows(2)
    moved = boxes(np.pad(rows, [(0, 0), (17, 3)]), 5)
    np.testing.assert_array_equal(moved[:, 17:-3], boxes(rows, 5))
    assert not moved[:, :17].any()


def test_rows_are_independent():
    rows = random_rows(3).reshape(5, 8, 60)
    np.testing.assert_array_equal(boxes(rows, 5)[2, 3], boxes(rows[2, 3], 5))


@pytest.mark.parametrize("n_frames", [1, 4, 15])
@pytest.mark.parametrize("pause", [0.0, 0.3, 0.9])
def test_pauses_are_low_and_confidences_between_the_scores_of_a_box(n_frames, pause):
    for row in random_rows(4):
        spans = found(row, n_frames, pause)
        assert spans
        for start, end, confidence in spans:
            assert 0 < confidence.expected <= row[start:end].max() + 1e-6
        for (_, end, _), (start, _, _) in pairwise(spans):
            assert end < start


def test_a_lower_pause_has_no_more_boxes():
    for row in random_rows(5):
        n_boxes = [len(found(row, 4, pause)) for pause in (0.0, 0.2, 0.5, 0.8, 1.0)]
        assert n_boxes == sorted(n_boxes)


def test_the_threshold_finds_events_and_does_not_change_their_extent():
    """The purpose of boxes: sloping frame scores still give a PSDS of 1."""
    edges_s = 0.1 * np.arange(61)
    slope = np.concatenate([np.linspace(0.1, 1, 10), np.ones(5), np.linspace(1, 0.1, 10)])
    frame = np.zeros((2, 1, 60), np.float32)
    frame[0, 0, 20:45] = slope
    frame[1, 0, 20:45] = 0.3 * slope
    boxed = boxes(frame, 8)
    spans = [np.flatnonzero(row[0])[[0, -1]].tolist() for row in boxed]
    assert spans[0] == spans[1]
    clip, label = np.array([0, 1]), np.array([0, 0])
    first, last = edges_s[spans[0][0]], edges_s[spans[0][1] + 1]
    truth = Annotation(clip, label, np.full(2, first), np.full(2, last))
    durations_s = np.full(2, 6.0)
    assert psds.evaluate(truth, boxed, edges_s, durations_s, psds.SCENARIO_1).value == 1


# Limit cases.


@pytest.mark.parametrize("n_frames", [1, 3, 100])
@pytest.mark.parametrize("n", [0, 1, 2, 50])
def test_silence_has_no_box_and_a_clip_full_of_sound_one(n_frames, n):
    assert not boxes(np.zeros((3, n), np.float32), n_frames).any()
    full = boxes(np.ones((3, n), np.float32), n_frames)
    assert full.shape == (3, n)
    np.testing.assert_allclose(full, min(1, n / ((n_frames + 1) // 2)))


def test_half_precision_is_as_good_as_its_values():
    rows = random_rows(6).astype(np.float16)
    np.testing.assert_array_equal(boxes(rows, 5), boxes(rows.astype(np.float32), 5))
    assert boxes(rows, 5).dtype == np.float32
