"""Windows over a recording, and their joined scores."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sedmtl.data.audio import conform
from sedmtl.data.grid import Grid, n_shared
from sedmtl.inference.timelines import Timelines
from sedmtl.inference.windows import CrossFade, cut
from sedmtl.store import WindowTable

# 2 s at 1 kHz, hops of 20 ms: of 99 frames at most 49 are shared, just under half.
SMALL = Grid(sample_rate=1000, n_samples=2000, n_frames=99, window=40, hop=20)
PAPER = Grid(sample_rate=32_000, n_samples=320_000, n_frames=311, window=2048, hop=1024)


def recording_of(n_samples, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, n_samples).astype(np.float32)


def in_pieces(wave, seed, longest=700):
    rng = np.random.default_rng(seed)
    cuts = np.cumsum(rng.integers(0, longest, size=10 * len(wave) // longest + 1))
    return np.split(wave, cuts[cuts < len(wave)])


def test_the_papers_windows_share_one_second():
    n_shared = PAPER.n_frames - PAPER.stride
    assert n_shared == 31  # 31.25 hops are a second
    assert PAPER.n_frames / PAPER.stride < 1.12


@pytest.mark.parametrize(("n_frames", "stride"), [(99, 50), (98, 49), (2, 1), (1, 1)])
def test_windows_of_a_few_seconds_share_half_at_most(n_frames, stride):
    assert SMALL.stride == 50
    assert Grid(1000, 40 + 20 * (n_frames - 1), n_frames, 40, 20).stride == stride


def test_the_first_frame_begins_half_a_hop_before_the_centre_of_its_window():
    assert PAPER.first_edge_s == pytest.approx((1024 - 512) / 32_000)
    assert PAPER.hop_s == pytest.approx(0.032)


@pytest.mark.parametrize("grid", [SMALL, PAPER, Grid(1000, 300, 6, 25, 50)])
def test_frames_within_are_those_whose_centre_is_audio(grid):
    centres = np.arange(grid.n_frames) * grid.hop + grid.window / 2
    sizes = {0, 1, *np.random.default_rng(0).integers(0, grid.n_samples, 50), grid.n_samples}
    for n_samples in sizes | {int(centre) + k for centre in centres[:3] for k in (0, 1)}:
        assert grid.frames_within(n_samples) == np.sum(centres < n_samples)
    assert grid.frames_within(grid.n_samples) == grid.n_frames


@pytest.mark.parametrize(
    ("n_samples", "starts"),
    [
        (1, [0]),
        (1999, [0]),
        (2000, [0]),
        (2019, [0]),  # less than one more hop
        (2020, [0, 1]),
        (2999, [0, 49]),
        (3000, [0, 50]),
        (3020, [0, 50, 51]),
        (4000, [0, 50, 100]),
    ],
)
def test_the_last_window_is_moved_back_to_the_end(n_samples, starts):
    assert SMALL.starts(n_samples).tolist() == starts
    windows = list(cut([recording_of(n_samples)], SMALL))
    assert [window.start for window in windows] == starts
    assert [window.is_last for window in windows] == [False] * (len(starts) - 1) + [True]
    assert windows[-1].end == n_samples


@pytest.mark.parametrize("seed", range(20))
def test_windows_hold_the_audio_of_their_frames_whatever_pieces_it_comes_in(seed):
    wave = recording_of(int(np.random.default_rng(seed).integers(1, 12_000)), seed)
    windows = list(cut(in_pieces(wave, seed), SMALL))
    for window in windows:
        begin = window.start * SMALL.hop
        np.testing.assert_array_equal(window.waveform, conform(wave[begin:], SMALL.n_samples))
        assert window.end == (
            len(wave) if window.is_last else min(len(wave), begin + SMALL.n_samples)
        )
    heard_to = windows[-1].start * SMALL.hop + SMALL.n_samples
    assert heard_to > len(wave) - SMALL.hop
    for one, other in pairwise(windows):
        assert 0 < other.start - one.start <= SMALL.stride


def test_windows_are_scaled_each_to_its_own_peak():
    loud, quiet = recording_of(2000), 1e-3 * recording_of(8000, 1)
    windows = list(cut([loud, quiet, np.zeros(5000, np.float32)], SMALL))
    peaks = {window.start * SMALL.hop: np.abs(window.waveform).max() for window in windows}
    assert {peak for start, peak in peaks.items() if start < 10_000} == {0.5}
    assert {peak for start, peak in peaks.items() if start >= 10_000} == {0.0}


def test_a_short_recording_is_padded_and_states_its_own_frames():
    (window,) = cut([recording_of(450)], SMALL)
    assert not window.waveform[450:].any()
    assert window.n_frames == 22  # the centre of frame 21 is at 440, that of frame 22 at 460
    (nothing,) = cut([recording_of(15)], SMALL)
    assert nothing.n_frames == 0


def test_an_endless_recording_is_read_two_windows_ahead_at_most():
    n_read = 0

    def blocks():
        nonlocal n_read
        while True:
            n_read += 300
            yield np.ones(300, np.float32)

    for _, window in zip(range(200), cut(blocks(), SMALL), strict=False):
        assert n_read - window.start * SMALL.hop <= 2 * SMALL.n_samples + 300


def test_a_window_comes_as_soon_as_one_more_hop_is_available():
    n_read = 0

    def blocks():
        nonlocal n_read
        for _ in range(6_000 // 20):
            n_read += 20
            yield np.ones(20, np.float32)

    for window in cut(blocks(), SMALL):
        if not window.is_last:
            assert n_read == window.start * SMALL.hop + SMALL.n_samples + SMALL.hop


def join(pieces, n_classes=1, n_shared=SMALL.n_shared):
    fade = CrossFade(n_classes, n_shared)
    parts = [fade.push(start, np.asarray(frame, np.float32)) for start, frame in pieces]
    return np.concatenate([*parts, fade.finish()], axis=1)


def test_scores_pass_linearly_from_one_window_to_the_next():
    joined = join([(0, [[1.0] * 5]), (2, [[0.0] * 5])], n_shared=3)
    np.testing.assert_allclose(joined, [[1, 1, 0.75, 0.5, 0.25, 0, 0]])


def test_the_last_window_changes_no_more_than_others_however_far_it_is_moved_back():
    joined = join([(0, [[1.0] * 5]), (1, [[0.0] * 5])], n_shared=3)
    np.testing.assert_allclose(joined, [[1, 1, 0.75, 0.5, 0.25, 0]])


def test_windows_without_overlap_are_put_end_to_end():
    np.testing.assert_array_equal(join([(0, [[1, 2]]), (2, [[3, 4]])], n_shared=0), [[1, 2, 3, 4]])
    np.testing.assert_array_equal(join([(0, [[1, 2]])]), [[1, 2]])
    assert join([(0, np.zeros((3, 0)))], 3).shape == (3, 0)


STARTS = [[0], [0, 50], [0, 50, 51], [0, 50, 99], [0, 50, 100, 101], [0, 50, 100, 150, 160]]


@pytest.mark.parametrize("starts", STARTS)
def test_scores_that_all_windows_share_stay(starts):
    truth = np.random.default_rng(0).random((2, starts[-1] + 99)).astype(np.float32)
    joined = join([(start, truth[:, start : start + 99]) for start in starts], 2)
    assert joined.shape == truth.shape
    np.testing.assert_allclose(joined, truth, rtol=1e-6)


@pytest.mark.parametrize("starts", STARTS)
def test_weights_sum_to_one_and_lie_in_their_windows(starts):
    n_frames = starts[-1] + 99
    weights = []
    for heard in starts:
        pieces = [(start, np.full((1, 99), float(start == heard))) for start in starts]
        weights.append(join(pieces)[0])
        outside = np.ones(n_frames, bool)
        outside[heard : heard + 99] = False
        assert not weights[-1][outside].any()
    np.testing.assert_allclose(np.sum(weights, axis=0), 1, rtol=1e-5)
    assert np.min(weights) >= -1e-6


def test_frames_come_out_as_soon_as_no_window_changes_them():
    fade = CrossFade(1, 49)
    frame = np.zeros((1, 99), np.float32)
    assert fade.push(0, frame).shape == (1, 50)
    assert fade.push(50, frame).shape == (1, 50)
    assert fade.push(60, frame).shape == (1, 10)  # the last, moved back
    assert fade.finish().shape == (1, 49)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("length_s", [10, 25, 60, 61.3])
def test_windows_of_a_network_that_pools_time_join_to_as_many_frames_as_the_recording_has(
    stride, length_s
):
    starts = PAPER.starts(round(length_s * 32_000))
    n_pooled = 311 // stride
    known = WindowTable(
        np.zeros(len(starts), np.int32), starts.astype(np.int32),
        np.full(len(starts), 311, np.int32), np.array([length_s]),
    ).pooled(stride)  # fmt: skip
    at = known.start[:, None] + np.arange(n_pooled)  # each frame's score is its position
    shared = n_shared(1024 * stride / 32_000, n_pooled)
    lines = Timelines(at[:, None].astype(np.float32), np.ones((len(starts), 1)), known, shared)
    (line,) = lines.joined()
    np.testing.assert_allclose(line[0], np.arange(starts[-1] // stride + n_pooled), atol=1e-3)
