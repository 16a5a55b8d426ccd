"""Packing recordings of different lengths on few time lines changes no metric."""

from __future__ import annotations

import numpy as np
import pytest

from sedmtl.metrics import frame as frame_metrics
from sedmtl.metrics.annotation import Annotation
from sedmtl.metrics.packing import Packing
from sedmtl.metrics.psds import SCENARIO_1, SCENARIO_2, evaluate
from sedmtl.metrics.sweep import sweep

HOP_S, FIRST_S = 0.1, 0.05


def edges_of(n_frames):
    return FIRST_S + HOP_S * np.arange(n_frames + 1)


def random_recordings(seed, n=9, n_classes=3):
    """Scores (C, t) of recordings of 5 to 60 frames, with ties; events may touch the ends."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(5, 60, n)
    lines = [rng.integers(0, 12, (n_classes, t)).astype(np.float32) / 12 for t in lengths]
    rows = []
    for clip, t in enumerate(lengths):
        for label in rng.choice(n_classes, rng.integers(0, n_classes), replace=False):
            onset = rng.choice([0.0, rng.uniform(0, t * HOP_S / 2)])
            offset = rng.choice([t * HOP_S + FIRST_S, rng.uniform(onset + 0.05, t * HOP_S)])
            rows.append((clip, label, onset, offset))
    clip, label, onset_s, offset_s = np.array(rows, float).round(6).T
    truth = Annotation(clip.astype(int), label.astype(int), onset_s, offset_s)
    return lines, truth, lengths


def padded(lines):
    """Each recording alone on a line as long as the longest."""
    longest = max(line.shape[1] for line in lines)
    return np.stack([
        np.pad(line, [(0, 0), (0, longest - line.shape[1])], constant_values=-np.inf)
        for line in lines
    ])  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_metrics_are_those_of_each_recording_alone_on_a_line(seed):
    lines, truth, lengths = random_recordings(seed)
    packing = Packing.of(lengths.tolist(), edges_of(7))
    frame, packed, alone = packing.frames(lines), packing.annotation(truth), padded(lines)
    assert len(frame) < len(lines)
    edges_s = edges_of(alone.shape[2])
    np.testing.assert_allclose(packing.edges_s, edges_s)
    durations_s = lengths * HOP_S
    for scenario in (SCENARIO_1, SCENARIO_2):
        ours = evaluate(packed, frame, packing.edges_s, durations_s, scenario)
        theirs = evaluate(truth, alone, edges_s, durations_s, scenario)
        assert ours.value == pytest.approx(theirs.value, abs=1e-12)
        np.testing.assert_allclose(ours.per_class, theirs.per_class, atol=1e-12)
    for label in range(3):
        ours = sweep(packed, label, frame[:, label], packing.edges_s, 0.5, 0.5)
        theirs = sweep(truth, label, alone[:, label], edges_s, 0.5, 0.5)
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("seed", range(4))
def test_frames_between_recordings_are_not_scored(seed):
    lines, truth, lengths = random_recordings(seed)
    packing = Packing.of(lengths.tolist(), edges_of(7))
    frame, packed = packing.frames(lines), packing.annotation(truth)
    target = frame_metrics.targets(packed, len(frame), 3, packing.edges_s)
    scored = frame_metrics.evaluate(target, frame)
    flat = [
        frame_metrics.targets(truth.take(truth.clip == i), i + 1, 3, edges_of(t))[i]
        for i, t in enumerate(lengths)
    ]
    one = frame_metrics.evaluate(np.concatenate(flat, 1)[None], np.concatenate(lines, 1)[None])
    assert scored.ap_micro == pytest.approx(one.ap_micro, abs=1e-12)
    np.testing.assert_allclose(scored.ap, one.ap, atol=1e-12)


def test_recordings_of_one_length_stay_as_they_are():
    frame = np.random.default_rng(0).random((4, 3, 20))
    packing = Packing.of([20] * 4, edges_of(20))
    assert packing.frames(frame) is frame
    np.testing.assert_array_equal(packing.line, np.arange(4))
    np.testing.assert_array_equal(packing.edges_s, edges_of(20))


def test_time_lines_take_at_most_twice_the_room_of_the_recordings():
    lengths = np.random.default_rng(0).integers(100, 30_000, 300)
    packing = Packing.of(lengths.tolist(), edges_of(7))
    assert (packing.line.max() + 1) * lengths.max() < 2 * lengths.sum()
