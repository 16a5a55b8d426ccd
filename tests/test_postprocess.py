"""Frame scores to events: the filter, the order of steps, and pieces of any length."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import product

import numpy as np
import pytest
from scipy import signal
from sed_golden import detections

from sedmtl.events import Detection
from sedmtl.inference.boxes import boxes
from sedmtl.inference.postprocess import (
    PostProcessing,
    Segmenter,
    gate,
    median_filter,
    odd_frames,
    segment,
)
from sedmtl.runtime.errors import SedmtlError

HALF = PostProcessing(threshold=(0.5,))


def events_of(scores, settings=HALF, hop_s=1.0, first_edge_s=0.0):
    return segment(np.array([scores], np.float32), settings, [0], hop_s, first_edge_s)


def spans(scores, **settings):
    return [(e.onset_s, e.offset_s) for e in events_of(scores, replace(HALF, **settings))]


def naive(frame, settings, hop_s, first_edge_s):
    """The steps in order, frame by frame and run by run."""
    found = []
    for label, (row, threshold) in enumerate(zip(frame, settings.threshold, strict=True)):
        row = signal.medfilt(row, odd_frames(settings.median_s, hop_s))
        runs = []
        for k, score in enumerate(row):
            if score > settings.low * threshold:
                if runs and runs[-1][1] == k:
                    runs[-1] = (runs[-1][0], k + 1)
                else:
                    runs.append((k, k + 1))
        joined = []
        for start, end in [run for run in runs if row[slice(*run)].max() > threshold]:
            if joined and (start - joined[-1][1]) * hop_s <= settings.gap_s + 1e-9:
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
        found += [
            Detection(
                label, first_edge_s + s * hop_s, first_edge_s + e * hop_s, float(row[s:e].max())
            )
            for s, e in joined
            if (e - s) * hop_s >= settings.min_duration_s - 1e-9
        ]
    return sorted(found, key=lambda event: (event.onset_s, event.label))


def random_scores(rng, n_classes=3, n_frames=60):
    """Smooth scores in sixteenths, with many ties among them and with the thresholds."""
    noise = rng.random((n_classes, n_frames + 2))
    smooth = (noise[:, :-2] + noise[:, 1:-1] + noise[:, 2:]) / 3
    return (np.round(16 * smooth) / 16).astype(np.float32)


# The filter.


@pytest.mark.parametrize("n_frames", [1, 3, 7, 25])
@pytest.mark.parametrize("n_all", [1, 2, 12, 60])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_median_is_that_of_the_window_around_each_frame(n_frames, n_all, dtype):
    frame = np.random.default_rng(0).random((2, 3, n_all)).astype(dtype)
    filtered = median_filter(frame, n_frames)
    assert filtered.dtype == dtype
    for row, scores in zip(filtered.reshape(6, -1), frame.reshape(6, -1), strict=True):
        np.testing.assert_array_equal(row, naive_median(scores, n_frames))


def naive_median(row, n_frames):
    padded = np.pad(row, n_frames // 2)
    return [np.median(padded[k : k + n_frames]) for k in range(len(row))]


def test_a_single_high_frame_does_not_pass_the_median_and_two_of_three_do():
    frame = np.array([[0, 0, 1, 0, 0, 1, 0, 1, 0, 0]], np.float32)
    np.testing.assert_array_equal(median_filter(frame, 3), [[0, 0, 0, 0, 0, 0, 1, 0, 0, 0]])


@pytest.mark.parametrize(
    ("median_s", "hop_s", "n_frames"),
    [(0.0, 0.032, 1), (0.1, 0.032, 3), (0.2, 0.032, 7), (0.4, 0.032, 13), (0.8, 0.032, 25),
     (0.06, 0.02, 3), (0.3, 0.1, 3), (0.6, 0.1, 7), (0.7, 0.1, 7),
     (0.01, 0.1, 1)],
)  # fmt: skip
def test_the_filter_is_the_nearest_odd_number_of_frames(median_s, hop_s, n_frames):
    assert odd_frames(median_s, hop_s) == n_frames
    assert abs(n_frames - median_s / hop_s) <= 1 + 1e-9


# The order of steps, by hand.


def test_an_event_runs_from_the_first_edge_of_its_first_frame_to_the_last_of_its_last():
    assert events_of([0.1, 0.6, 0.9, 0.7, 0.2], hop_s=0.25, first_edge_s=0.5) == [
        Detection(label=0, onset_s=0.75, offset_s=1.5, score=pytest.approx(0.9))
    ]


def test_a_score_equal_to_the_threshold_is_not_active():
    assert spans([0.5, 0.5, 0.75, 0.5]) == [(2, 3)]


def test_events_at_both_ends_of_the_recording_are_found():
    assert spans([1, 1, 0, 0, 1]) == [(0, 2), (4, 5)]


def test_hysteresis_extends_events_and_makes_none():
    scores = [0.3, 0.3, 0.9, 0.3, 0, 0.3, 0.3, 0]
    assert spans(scores, low=0.5) == [(0, 4)]
    assert spans(scores, low=1.0) == [(2, 3)]


def test_a_pause_as_long_as_the_gap_is_filled_and_a_longer_one_is_not():
    scores = [1, 0, 0, 1, 0, 0, 0, 1]
    assert spans(scores, gap_s=2.0) == [(0, 4), (7, 8)]
    assert spans(scores, gap_s=1.9) == [(0, 1), (3, 4), (7, 8)]


@pytest.mark.parametrize("length_s", [1e9, 1e19, 1e308])
def test_a_length_beyond_all_recordings_fills_every_pause_and_drops_every_event(length_s):
    scores = [0, 0.9, 0, 0, 0.9, 0]
    assert spans(scores, gap_s=length_s) == [(1, 5)]
    assert spans(scores, min_duration_s=length_s) == []


def test_a_run_that_hysteresis_drops_bridges_no_pause():
    scores = [0.9, 0, 0.3, 0, 0.9]
    assert spans(scores, low=0.5, gap_s=2.0) == [(0, 1), (4, 5)]
    assert spans(scores, low=0.5, gap_s=3.0) == [(0, 5)]


def test_an_event_as_long_as_the_least_duration_stays_and_a_shorter_one_goes():
    scores = [1, 0, 0, 1, 1, 0, 0, 1, 1, 1]
    assert spans(scores, min_duration_s=2.0) == [(3, 5), (7, 10)]


def test_pauses_are_filled_before_short_events_are_dropped():
    assert spans([1, 0, 1, 0, 0, 0, 1], gap_s=1.0, min_duration_s=3.0) == [(0, 3)]


def test_a_gap_is_filled_although_its_quotient_is_below_a_whole_number():
    assert 0.3 / 0.1 < 3
    scores = [1, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    found = events_of(scores, replace(HALF, gap_s=0.3), hop_s=0.1)
    assert [event.offset_s for event in found] == pytest.approx([0.5, 1.0])


def test_an_event_is_long_enough_although_the_quotient_is_above_a_whole_number():
    assert 0.14 / 0.02 > 7
    scores = [1] * 7 + [0] + [1] * 6
    found = events_of(scores, replace(HALF, min_duration_s=0.14), hop_s=0.02)
    assert [event.offset_s for event in found] == pytest.approx([0.14])


def test_the_score_is_the_highest_after_the_median():
    (event,) = events_of([0.6, 0.7, 1.0, 0.7, 0.6], replace(HALF, median_s=3.0))
    assert event.score == pytest.approx(0.7)


def test_each_class_has_its_threshold():
    frame = np.full((3, 2), 0.5, np.float32)
    found = segment(frame, PostProcessing((0.6, 0.4, 0.2)), range(3), 1.0)
    assert [event.label for event in found] == [1, 2]


def test_without_options_events_are_the_runs_of_active_frames():
    frame = random_scores(np.random.default_rng(5), n_classes=4, n_frames=80)
    edges_s = 0.25 + 0.5 * np.arange(81)
    expected = detections((frame > 0.5)[None], edges_s)
    found = segment(frame, PostProcessing((0.5,) * 4), range(4), 0.5, 0.25)
    assert {event[:3] for event in found} == set(
        zip(expected.label, expected.onset_s, expected.offset_s, strict=True)
    )


# Pieces.


GRID = [
    PostProcessing((0.5, 0.625, 0.375), low, median_s, gap_s, min_duration_s)
    for low, median_s, gap_s, min_duration_s in product(
        (1.0, 0.75), (0.0, 0.3, 0.9), (0.0, 0.2, 1.0), (0.0, 0.3)
    )
]


@pytest.mark.slow
@pytest.mark.parametrize("settings", GRID, ids=lambda s: str(tuple(asdict(s).values())[1:5]))
def test_events_do_not_depend_on_where_the_recording_is_cut(settings):
    rng = np.random.default_rng(3)
    for most in (1, 4, 30):
        frame = random_scores(rng)
        lengths = rng.integers(0, most, size=200, endpoint=True)
        pieces = np.split(frame, np.cumsum(lengths), axis=1)
        segmenter = Segmenter(settings, range(3), 0.1, 0.05)
        found = [event for piece in pieces for event in segmenter.push(piece)]
        found += segmenter.finish()
        expected = naive(frame, settings, 0.1, 0.05)
        assert expected
        assert sorted(found, key=lambda e: (e.onset_s, e.label)) == [
            Detection(e.label, pytest.approx(e.onset_s), pytest.approx(e.offset_s), e.score)
            for e in expected
        ]
        assert segment(frame, settings, range(3), 0.1, 0.05) == sorted(
            found, key=lambda e: (e.onset_s, e.label)
        )


def test_an_event_comes_as_soon_as_no_later_frame_can_change_it():
    segmenter = Segmenter(replace(HALF, gap_s=2.0), [0], 1.0)
    high, low = np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32)
    pushed = [segmenter.push(frame) for frame in (high, low, low, low, high)]
    assert pushed == [[], [], [], [Detection(0, 0, 1, 1)], []]
    assert segmenter.finish() == [Detection(0, 4, 5, 1)]


@pytest.mark.parametrize("gap_s", [0.0, 0.5])
def test_boxes_do_not_depend_on_where_the_recording_is_cut(gap_s):
    settings = PostProcessing((0.3, 0.2, 0.1), gap_s=gap_s, step_s=0.5)
    rng = np.random.default_rng(4)
    frame = random_scores(rng)
    pieces = np.split(frame, np.sort(rng.integers(0, frame.shape[1], 20)), axis=1)
    segmenter = Segmenter(settings, range(3), 0.1, 0.05)
    assert [segmenter.push(piece) for piece in pieces] == [[]] * len(pieces)
    found = segmenter.finish()
    plain = replace(settings, step_s=0.0)
    assert found == segment(boxes(frame, 5), plain, range(3), 0.1, 0.05) != []
    assert found == segment(frame, settings, range(3), 0.1, 0.05)


def test_the_state_between_pieces_does_not_grow():
    settings = PostProcessing((0.5,) * 5, low=0.8, median_s=0.5, gap_s=0.3)
    segmenter = Segmenter(settings, range(5), 0.1)
    rng = np.random.default_rng(0)
    for _ in range(50):
        segmenter.push(random_scores(rng, n_classes=5, n_frames=20))
        assert len(segmenter._open.label) <= 5
        assert len(segmenter._pending.label) <= 5
        assert segmenter._context.shape == (5, 4)


# Limit cases.


@pytest.mark.parametrize("n_frames", [0, 1])
def test_a_recording_of_no_or_one_frame(n_frames):
    settings = PostProcessing((0.5, 0.5), median_s=0.5, gap_s=1.0)
    frame = np.ones((2, n_frames), np.float32)
    assert segment(frame, settings, range(2), 0.1) == []  # the median of one frame among zeros
    for other in (replace(settings, median_s=0), replace(settings, step_s=0.2)):
        assert len(segment(frame, other, range(2), 0.1)) == 2 * n_frames


def test_silence_is_no_event_even_at_threshold_0():
    assert segment(np.zeros((1, 9), np.float32), PostProcessing((0.0,)), [0], 0.1) == []


def test_a_class_active_throughout_is_one_event():
    assert spans([1.0] * 100) == [(0, 100)]


def test_settings_survive_json():
    settings = PostProcessing((0.25, 0.5), low=0.5, median_s=0.4, gated=True, step_s=0.8)
    stored = json.loads(json.dumps(asdict(settings)))
    assert PostProcessing(**(stored | {"threshold": tuple(stored["threshold"])})) == settings


def test_settings_from_before_boxes_have_none():
    stored = asdict(PostProcessing((0.25,), median_s=0.4))
    del stored["step_s"]
    assert PostProcessing(**stored) == PostProcessing((0.25,), median_s=0.4)


@pytest.mark.parametrize(
    ("name", "value"),
    [("low", 1.5), ("low", -0.1), ("gap_s", -1.0), ("median_s", float("nan")),
     ("step_s", -0.1),
     ("min_duration_s", float("inf"))],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_named(name, value):
    with pytest.raises(SedmtlError, match=name):
        replace(HALF, **{name: value})


@pytest.mark.parametrize("shape", [(2, 5), (5,)])
def test_scores_of_other_classes_than_the_thresholds_are_refused(shape):
    with pytest.raises(SedmtlError, match="expected scores of 1 classes"):
        Segmenter(HALF, [0], 0.1).push(np.zeros(shape, np.float32))


def test_a_gate_multiplies_by_the_clip_score_if_requested():
    frame = np.full((2, 1, 3), 0.5, np.float16)
    clip = np.array([[0.5], [0.25]], np.float32)
    gated = gate(frame, clip, PostProcessing((0.5,), gated=True))
    np.testing.assert_array_equal(gated[:, 0], [[0.25] * 3, [0.125] * 3])
    np.testing.assert_array_equal(gate(frame, clip, PostProcessing((0.5,))), frame)
