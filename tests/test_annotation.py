from __future__ import annotations

import numpy as np
import pytest
from sed_golden import detections, events, golden, naive_truths, random_case, rows

from sedmtl.metrics import frame
from sedmtl.metrics.annotation import microseconds, pairs_between

EDGES_S = np.arange(6) / 10


def test_overlapping_and_touching_events_of_a_clip_and_class_become_one():
    merged = events((0, 0, 3, 4), (0, 0, 1, 2), (0, 0, 1.5, 2.5), (0, 0, 2.5, 2.7)).merged()
    assert rows(merged) == [(0, 0, 1, 2.7), (0, 0, 3, 4)]


def test_an_event_within_another_does_not_shorten_it():
    merged = events((0, 0, 1, 9), (0, 0, 2, 3), (0, 0, 8, 8.5), (0, 0, 9.5, 10)).merged()
    assert rows(merged) == [(0, 0, 1, 9), (0, 0, 9.5, 10)]


def test_events_of_other_classes_and_clips_stay_apart():
    apart = [(0, 0, 0, 10), (0, 1, 0, 1), (0, 1, 9, 10), (1, 0, 0, 10), (1, 1, 0, 5), (2, 0, 0, 1)]
    assert rows(events(*reversed(apart)).merged()) == apart


def test_times_that_differ_by_rounding_touch():
    assert 0.1 + 0.2 > 0.3
    assert len(events((0, 0, 0, 0.3), (0, 0, 0.1 + 0.2, 1)).merged()) == 1


@pytest.mark.parametrize("seed", range(5))
def test_merging_gives_the_union_and_merging_again_changes_nothing(seed):
    truth = random_case(seed).truth
    merged = truth.merged()
    assert rows(merged) == [
        (clip, label, *event)
        for clip in range(4)
        for label in range(3)
        for event in naive_truths(truth, clip, label)
    ]
    assert rows(merged.merged()) == rows(merged)


def test_nothing_merges_to_nothing():
    assert len(events().merged()) == 0


def test_the_events_of_some_classes_keep_their_order():
    annotation = events((1, 2, 0, 1), (0, 0, 2, 3), (0, 1, 4, 5))
    kept = annotation.of_classes_in(annotation.take(annotation.label > 0))
    assert rows(kept) == [(1, 2, 0, 1), (0, 1, 4, 5)]


def test_each_run_of_active_frames_is_an_event():
    active = np.array(
        [[[1, 0, 1, 1, 1], [0, 0, 0, 0, 0]], [[1, 1, 1, 1, 1], [0, 1, 0, 1, 0]]], bool
    )
    assert rows(detections(active, EDGES_S)) == [
        (0, 0, 0, 0.1), (0, 0, 0.2, 0.5), (1, 0, 0, 0.5), (1, 1, 0.1, 0.2), (1, 1, 0.3, 0.4),
    ]  # fmt: skip


@pytest.mark.parametrize("scenario", "AB")
def test_detections_are_those_of_the_reference(scenario):
    given = golden(scenario)
    wanted = sorted(map(tuple, given.reference["events_at_050"]))
    np.testing.assert_allclose(rows(given.detected), wanted, atol=1e-9)


def test_detections_cover_the_active_frames_and_no_others():
    active = np.random.default_rng(0).random((3, 4, 5)) < 0.5
    found = frame.targets(detections(active, EDGES_S), 3, 4, EDGES_S)
    np.testing.assert_array_equal(found, active)


def test_detecting_leaves_its_input_alone():
    active = np.ones((1, 1, 5), bool)
    detections(active, EDGES_S)
    assert active.all()


def test_microseconds_are_the_rounding_to_six_decimals():
    assert microseconds([0.1 + 0.2, 1.4055, 2.0000004]).tolist() == [300_000, 1_405_500, 2_000_000]


def test_pairs_between_are_those_of_two_loops():
    rng = np.random.default_rng(0)
    place, low = rng.integers(0, 30, 20), rng.integers(0, 30, 8)
    high = low + rng.integers(0, 5, 8)
    pairs = [
        (i, j)
        for i in range(8)
        for j in np.argsort(place, kind="stable").tolist()
        if low[i] <= place[j] <= high[i]
    ]
    i, j = pairs_between(low, high, place)
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == pairs
