"""Whole recordings in windows, with a network whose scores are predictable."""

from __future__ import annotations

import tracemalloc
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.lib.stride_tricks import sliding_window_view

from sedmtl.data import audio
from sedmtl.data.audio.waveform import cut_or_pad
from sedmtl.inference.detector import Detector
from sedmtl.inference.model_card import ModelCard
from sedmtl.inference.postprocess import PostProcessing, segment
from sedmtl.inference.predict import seconds_of
from sedmtl.models.vggish import GapSettings
from sedmtl.runtime.errors import SedmtlError

RATE, N_SAMPLES, WINDOW, HOP, N_FRAMES = 1000, 2000, 40, 20, 99
CARD = ModelCard(
    network=GapSettings(1), n_frames=N_FRAMES, n_mels=2, classes=("up", "down"),
    sample_rate=RATE, n_samples=N_SAMPLES,
    features={"window": WINDOW, "hop": HOP, "n_mels": 2, "f_min": 50.0, "f_max": 500.0},
    mean=(0.0, 0.0), std=(1.0, 1.0), postprocessing=PostProcessing((0.6, 0.7), median_s=0.06),
    tag_threshold=(0.8, 0.9), training={},
)  # fmt: skip


class Fake(Detector):
    """A detector whose frame scores are 0.5 plus and minus the mean of the frame's samples."""

    def __init__(self, **settings):
        self.card = replace(CARD, postprocessing=replace(CARD.postprocessing, **settings))
        self.batches, self.network = [], self

    def score_windows(self, waveforms):
        self.batches.append(len(waveforms))
        level = sliding_window_view(waveforms, WINDOW, axis=1)[:, ::HOP].mean(axis=2)
        frame = np.stack([0.5 + level, 0.5 - level], axis=1).astype(np.float32)
        return frame.max(axis=2), frame


def telegraph(n_samples, seed=0):
    """A wave that alternates between 1 and -1 at random: the same peak in every window."""
    rng = np.random.default_rng(seed)
    turns = np.cumsum(rng.integers(1, 400, size=n_samples // 50 + 2))
    return np.where(np.searchsorted(turns, np.arange(n_samples)) % 2, 1, -1).astype(np.float32)


def frames_at_once(wave):
    """The fake's scores of a whole recording at this peak, without windows."""
    padded = cut_or_pad(0.5 * wave, max(len(wave), N_SAMPLES))
    level = sliding_window_view(padded, WINDOW)[::HOP].mean(axis=1)
    if len(wave) < N_SAMPLES:
        level = level[np.arange(len(level)) * HOP + WINDOW / 2 < len(wave)]
    return np.stack([0.5 + level, 0.5 - level])


def write(folder, name, wave):
    soundfile.write(folder / name, wave, RATE, subtype="FLOAT")
    return folder / name


def run(detector, paths, **options):
    return dict(detector.predict_many(paths, **options))


@pytest.fixture
def predict(monkeypatch):
    """A function that predicts a recording read in the given blocks."""

    def run(detector, blocks):
        with monkeypatch.context() as patched:
            patched.setattr(audio, "stream", lambda *_: iter(blocks))
            return detector.predict("recording.wav")

    return run


LENGTHS = [1, 19, 20, 21, 700, 1999, 2000, 2020, 2999, 3020, 9000, 12_345]


@pytest.mark.parametrize("n_samples", LENGTHS)
def test_scores_independent_of_windows_are_joined_as_if_there_were_none(predict, n_samples):
    wave = telegraph(n_samples)
    prediction = predict(Fake(), np.array_split(wave, 1 + n_samples // 300))
    expected = frames_at_once(wave)
    n_frames = prediction.frame.shape[1]
    # Less than a hop at the end is in no window.
    assert expected.shape[1] - 1 <= n_frames <= expected.shape[1]
    np.testing.assert_allclose(prediction.frame, expected[:, :n_frames], atol=1e-6)
    assert prediction.duration_s == n_samples / RATE
    assert prediction.classes == ("up", "down")


def test_frames_cover_the_recording_at_their_place(predict):
    prediction = predict(Fake(), [telegraph(5000)])
    np.testing.assert_allclose(prediction.frame_edges_s, 0.01 + 0.02 * np.arange(250))
    assert prediction.frame.shape == (2, 249)


def test_a_sound_at_the_very_end_is_found(predict):
    wave = -np.ones(7777, np.float32)
    wave[-200:] = 1
    prediction = predict(Fake(median_s=0), [wave])
    (up,) = [event for event in prediction.events if event.label == "up"]
    assert up.onset_s == pytest.approx(7.577, abs=0.02)
    assert up.offset_s == pytest.approx(7.777, abs=0.04)


def test_an_event_across_two_windows_is_one(predict):
    wave = -np.ones(10_000, np.float32)
    wave[500:8000] = 1
    ups = [event for event in predict(Fake(), [wave]).events if event.label == "up"]
    assert len(ups) == 1
    assert ups[0].onset_s == pytest.approx(0.5, abs=0.03)
    assert ups[0].offset_s == pytest.approx(8.0, abs=0.03)
    assert ups[0].score == 1.0


@pytest.mark.parametrize("n_samples", [1, 20, 21, 30, 45, 450])
def test_no_event_of_a_short_recording_ends_after_it(predict, n_samples):
    scorer = Fake(threshold=(0.0, 0.0), median_s=0)
    prediction = predict(scorer, [telegraph(n_samples)])
    assert bool(prediction.events) == (n_samples > WINDOW / 2)  # the centre of the first frame
    for event in prediction.events:
        assert 0 <= event.onset_s < event.offset_s <= n_samples / RATE


def test_events_begin_at_zero_where_the_first_frame_begins_before(predict):
    scorer = Fake(threshold=(0.0, 0.0), median_s=0)
    scorer.card = replace(scorer.card, n_frames=49, features={**CARD.features, "hop": 60})
    scorer.score_windows = lambda _: (np.ones((1, 2), "f4"), np.ones((1, 2, 49), "f4"))
    assert {event.onset_s for event in predict(scorer, [telegraph(500)]).events} == {0.0}


def test_a_class_is_in_a_recording_if_it_is_in_one_of_its_windows(predict):
    wave = -np.ones(20_000, np.float32)
    wave[9000:9050] = 1
    np.testing.assert_allclose(predict(Fake(), [wave]).clip, [1, 1])
    np.testing.assert_allclose(predict(Fake(), [wave[:8000]]).clip, [0, 1])


def test_gated_scores_are_multiplied_by_the_clip_score_of_their_window(predict):
    class Steady(Fake):
        """A detector with clip scores 0.5 and 0.25 and frame scores 1 in all windows."""

        def score_windows(self, waveforms):
            n = len(waveforms)
            return np.tile(np.float32([0.5, 0.25]), (n, 1)), np.ones((n, 2, N_FRAMES), np.float32)

    wave = telegraph(7000)
    plain, gated = predict(Steady(), [wave]), predict(Steady(gated=True), [wave])
    assert (plain.frame == 1).all()
    np.testing.assert_allclose(gated.frame, np.tile([[0.5], [0.25]], (1, gated.frame.shape[1])))
    assert len(plain.events) == 2
    assert gated.events == []


@pytest.fixture
def many(tmp_path):
    """Recordings of many lengths, some of them broken."""
    waves = {f"{k}.wav": telegraph(n_samples, k) for k, n_samples in enumerate(LENGTHS)}
    paths = [write(tmp_path, name, wave) for name, wave in waves.items()]
    (tmp_path / "text.wav").write_text("no audio")
    nan = write(tmp_path, "nan.wav", np.append(telegraph(8000), np.nan))
    return [*paths[:3], tmp_path / "text.wav", *paths[3:7], nan, *paths[7:], tmp_path / "none.wav"]


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize(("batch_size", "n_workers"), [(1, 1), (4, 1), (8, 3), (100, 2)])
def test_many_recordings_have_the_events_of_each_alone(many, batch_size, n_workers, gated):
    scorer = Fake(gated=gated, median_s=0.1, min_duration_s=0.06)
    found = run(scorer, many, batch_size=batch_size, n_workers=n_workers)
    assert list(found) == list(range(len(many)))
    for number, path in enumerate(many):
        if path.name in ("text.wav", "nan.wav", "none.wav"):
            assert path.name in str(found[number])
            continue
        alone = scorer.predict(path)
        assert found[number] == alone  # duration, events and tags
        assert found[number].frame.shape == (2, 0)
        np.testing.assert_array_equal(found[number].clip, alone.clip)
    assert sum(len(each.events) for each in found.values() if hasattr(each, "events")) > 100


def test_boxes_of_a_recording_are_those_of_its_frames_at_once(tmp_path):
    wave = telegraph(30_000)
    scorer = Fake(median_s=0, step_s=0.2)
    path = write(tmp_path, "a.wav", wave)
    found, whole = scorer.predict(path), frames_at_once(wave).astype(np.float32)
    settings, grid = scorer.card.postprocessing, CARD.grid
    expected = segment(whole, settings, CARD.classes, grid.hop_s, grid.first_edge_s)
    assert len(expected) > 20
    assert [(e.label, e.onset_s, e.offset_s) for e in found.events] == [
        (e.label, pytest.approx(e.onset_s), pytest.approx(e.offset_s)) for e in expected
    ]
    assert run(scorer, [path])[0] == found


def test_batches_hold_windows_of_several_recordings(tmp_path):
    paths = [write(tmp_path, f"{k}.wav", telegraph(3000, k)) for k in range(10)]
    scorer = Fake()
    run(scorer, paths, batch_size=8)
    assert scorer.batches == [8, 8, 4]


def test_scored_seconds_add_up_to_those_of_the_headers(tmp_path):
    paths = [write(tmp_path, f"{k}.wav", telegraph(700 * k + 300, k)) for k in range(12)]
    (tmp_path / "text.wav").write_text("no audio")
    heard = []
    run(Fake(), [*paths, tmp_path / "text.wav"], advance=heard.append)
    assert sum(heard) == seconds_of([*paths, tmp_path / "text.wav"]) == 49
    assert max(heard) <= 2
    assert seconds_of([]) == 0


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(monkeypatch):
    def peak_bytes(minutes):
        blocks = (np.ones(RATE, np.float32) for _ in range(60 * minutes))
        monkeypatch.setattr(audio, "stream", lambda *_: blocks)
        tracemalloc.start()
        try:
            found = run(Fake(), [Path("long.wav")])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            assert found[0].duration_s == 60 * minutes
            assert len(found[0].events) == 1

    peak_bytes(20)  # allocates what is allocated once
    # 19 more minutes are 4,560 kB of audio and 456 kB of scores.
    assert peak_bytes(20) < peak_bytes(1) + 100_000


def test_closing_early_ends_the_threads(many):
    with closing(Fake().predict_many(many * 5, batch_size=2, n_workers=3)) as found:
        assert next(found)[0] == 0
    assert list(found) == []


def test_a_defect_of_the_network_is_raised(many):
    scorer = Fake()
    scorer.score_windows = lambda _: 1 / 0
    with pytest.raises(ZeroDivisionError):
        run(scorer, many)


def test_one_broken_recording_raises():
    with pytest.raises(SedmtlError, match="no audio file"):
        Fake().predict("none.wav")


def test_tags_are_the_classes_above_their_thresholds_the_likeliest_first():
    score = np.array([0.81, 0.95], np.float32)
    assert CARD.tags(score) == [("down", float(score[1])), ("up", float(score[0]))]
    assert CARD.tags(np.array([0.9, 0.9])) == [("up", 0.9)]  # above, not at
    assert CARD.tags(np.array([0.1, 0.1])) == []
