"""Events of live audio: those of the whole recording, once each, in time."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import ON_LOGMEL

import sedmtl
from sedmtl.data.audio import read, stream
from sedmtl.inference.detector import Detector
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.inference.sounds import incoming
from sedmtl.models.registry import settings_class
from sedmtl.runtime.errors import SedmtlError

RUN = "2apae_snr20_fold1_alpha0.001_seed0"
RATE = 11_025
"""Differs from the network's rate, 8 kHz."""

SENSITIVE = PostProcessing((0.5,) * 3, low=0.9, median_s=0.1, gap_s=0.15)


def recording_of(seconds, seed=0):
    """Scattered tones of the three classes, at changing levels; two channels."""
    rng = np.random.default_rng(seed)
    wave = rng.normal(scale=0.01, size=round(seconds * RATE))
    for onset_s in np.arange(0.2, seconds - 0.4, 0.9):
        at = round(onset_s * RATE)
        t = np.arange(round(0.4 * RATE)) / RATE
        wave[at : at + len(t)] += rng.random() * np.sin(
            2 * np.pi * rng.choice([300, 900, 2700]) * t
        )
    return np.stack([wave, 0.5 * wave], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def detector(trained):
    """A detector that scores each window once: blocks must not change a sample of it."""
    loaded = sedmtl.load(trained.work / "runs" / RUN)
    score, known = loaded.network.score_windows, {}

    def score_once(waveforms):
        key = waveforms.tobytes()
        if key not in known:
            known[key] = score(waveforms)
        return known[key]

    loaded.network.score_windows = score_once
    return loaded


def middle_of(detector, wave):
    """Thresholds in the middle of the scores, to get many events."""
    frame = detector.predict(wave, RATE, settings=replace(SENSITIVE, threshold=(0.0,) * 3)).frame
    return replace(SENSITIVE, threshold=tuple(np.median(frame, axis=1).tolist()))


def by_onset(events):
    return sorted(events, key=lambda event: (event.onset_s, event.label))


@pytest.fixture(scope="module")
def heard(detector):
    """A recording whose last window must be moved back, and its events."""
    wave = recording_of(9.3)
    how = middle_of(detector, wave)
    expected = by_onset(detector.stream([wave], RATE, settings=how))
    assert len(expected) > 10
    return wave, how, expected


def test_a_stream_has_the_events_of_the_whole_recording(detector, heard):
    wave, how, expected = heard
    found = detector.predict(wave, RATE, settings=how).events
    assert [event[:3] for event in found] == [event[:3] for event in expected]
    # `stream` scores single windows, `predict` batches.
    np.testing.assert_allclose([e.score for e in found], [e.score for e in expected], atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 5 * RATE), max_size=6), st.integers(20, 3000))
def test_events_do_not_depend_on_the_blocks(detector, heard, cuts, n):
    """Blocks of any size: a few cuts anywhere, then blocks of one size to the end."""
    wave, how, expected = heard
    cuts = sorted({*np.cumsum(cuts).tolist(), *range(sum(cuts), len(wave), n)})
    blocks = np.split(wave, [at for at in cuts if at < len(wave)])
    assert by_onset(detector.stream(blocks, RATE, settings=how)) == expected


@pytest.mark.parametrize("seconds", [0.01, 0.4, 2.0, 2.01, 3.0, 4.7])
def test_a_stream_may_end_anywhere(detector, seconds):
    wave = recording_of(5)[: round(seconds * RATE)]
    how = replace(SENSITIVE, threshold=(0.05,) * 3)
    blocks = np.array_split(wave, max(1, len(wave) // 300))
    assert by_onset(detector.stream(blocks, RATE, settings=how)) == by_onset(
        detector.stream([wave], RATE, settings=how)
    )


def test_an_event_comes_in_time_and_not_before_it_is_over(detector, heard):
    """The documented bound: clip length, gap, half a median filter, two frames, the lag."""
    wave, how, _ = heard
    n_fed, block = 0, 110

    def blocks():
        nonlocal n_fed
        for at in range(0, len(wave), block):
            n_fed = at + block
            yield wave[at : at + block]

    hop_s = detector.card.grid.hop_s
    latest_s = detector.duration_s + how.gap_s + how.median_s / 2 + 2 * hop_s + 0.02 + block / RATE
    delays = [
        n_fed / RATE - event.offset_s
        for event in detector.stream(blocks(), RATE, settings=how)
        if n_fed < len(wave)
    ]
    assert len(delays) > 5
    assert min(delays) > 0
    assert max(delays) <= latest_s


def test_blocks_may_reuse_one_array(detector, heard):
    wave, how, expected = heard
    buffer = np.empty((500, 2), np.float32)

    def blocks():
        for at in range(0, len(wave), 500):
            part = wave[at : at + 500]
            buffer[: len(part)] = part
            yield buffer[: len(part)]

    assert by_onset(detector.stream(blocks(), RATE, settings=how)) == expected


def test_an_endless_stream_needs_no_more_memory_than_a_short_one(detector, monkeypatch):
    """With a network that gives the same scores in each window."""
    card = detector.card
    scores = np.random.default_rng(0).random((1, 3, card.grid.n_frames), np.float32)
    monkeypatch.setattr(detector.network, "score_windows", lambda _: (scores.max(axis=2), scores))
    sizes = []

    def blocks():
        for n in range(600):
            yield np.ones(1600, np.float32)
            if n in (60, 599):
                sizes.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        n_events = sum(1 for _ in detector.stream(blocks(), 8000, settings=SENSITIVE))
    finally:
        tracemalloc.stop()
    assert n_events > 100
    # A window of float32 is 64 kB; how much is held depends on the block.
    assert sizes[1] < sizes[0] + 100_000


def test_resampled_blocks_are_the_samples_of_the_whole_file(tmp_path):
    soundfile.write(tmp_path / "a.wav", recording_of(8), RATE, subtype="FLOAT")
    whole = read(tmp_path / "a.wav", 8000)
    np.testing.assert_array_equal(np.concatenate(list(stream(tmp_path / "a.wav", 8000))), whole)


def test_a_run_with_boxes_streams_with_the_filter_that_was_tuned_for_it(detector, heard):
    wave, how, expected = heard
    boxed = replace(how, step_s=0.4)
    network = detector.network._network
    card = replace(detector.card, postprocessing=boxed, streaming=how)
    assert by_onset(Detector(card, network).stream([wave], RATE)) == expected
    with pytest.raises(SedmtlError, match="boxes need the whole recording"):
        detector.stream([wave], RATE, settings=boxed)
    with pytest.raises(SedmtlError, match="boxes need the whole recording"):
        Detector(replace(card, streaming=None), network).stream([wave], RATE)


@pytest.mark.parametrize(
    ("blocks", "sentence"),
    [
        ([], "ended without audio"),
        ([np.zeros((0, 2))], "ended without audio"),
        ([np.zeros(8000), np.zeros((2, 2, 2))], r"found \(2, 2, 2\) at 1.00 s"),
        ([np.zeros(8000), [0.0, np.nan]], "the stream holds NaN or infinity at 1.000 s"),
    ],
)
def test_a_bad_stream_is_one_sentence(detector, blocks, sentence):
    with pytest.raises(SedmtlError, match=sentence):
        list(detector.stream(blocks, 8000, settings=SENSITIVE))


# Embeddings.


@pytest.mark.parametrize("model", ON_LOGMEL)
@pytest.mark.parametrize("seconds", [0.01, 0.5, 2.0, 7.3])
def test_an_embedding_has_the_frames_of_the_prediction(detector, model, seconds):
    card = replace(detector.card, network=settings_class(model)(2))
    untrained = Detector(card, card.build_network())
    wave = recording_of(8)[: round(seconds * RATE)]
    embedding = untrained.embed(wave, RATE)
    n_frames = max(1, untrained.predict(wave, RATE).frame.shape[1])
    assert embedding.frame.shape == (n_frames, card.network.n_channels)
    assert embedding.clip.shape == (card.network.n_channels,)
    assert np.isfinite(embedding.frame).all()
    np.testing.assert_array_equal(embedding.frame_edges_s, card.grid.edges_of(n_frames))


def test_an_embedding_is_the_mean_of_the_encoders_output(detector):
    wave = recording_of(2)
    clip = np.concatenate(list(incoming([wave], RATE, detector.card.sample_rate)))
    logmel = detector.network.logmel((clip / np.abs(clip).max() * 0.5)[None])
    encoded = detector.network.activations(logmel).encoded[0].mean(dim=-1).numpy().T
    embedding = detector.embed(wave, RATE)
    np.testing.assert_allclose(embedding.frame, encoded[: len(embedding.frame)], atol=1e-5)
    np.testing.assert_allclose(embedding.clip, encoded.mean(axis=0), atol=1e-5)


# Lists of files.


def test_a_list_of_files_gives_a_list_in_its_order(detector, tmp_path):
    for n in range(3):
        soundfile.write(tmp_path / f"{n}.wav", recording_of(2 + n, seed=n), RATE)
    paths = [tmp_path / "2.wav", str(tmp_path / "0.wav"), tmp_path / "1.wav"]
    how = replace(SENSITIVE, threshold=(0.05,) * 3)
    found = detector.predict(paths, settings=how)
    assert [each.filename for each in found] == [str(path) for path in paths]
    assert [round(each.duration_s) for each in found] == [4, 2, 3]
    for each, path in zip(found, paths, strict=True):
        alone = detector.predict(path, settings=how)
        assert [event[:3] for event in each.events] == [event[:3] for event in alone.events]


def test_a_list_with_a_missing_file_or_a_number_is_one_sentence(detector, tmp_path):
    soundfile.write(tmp_path / "0.wav", recording_of(1), RATE)
    with pytest.raises(SedmtlError, match=r"no audio file .*1\.wav \(and 1 more of 3 files\)"):
        detector.predict([tmp_path / name for name in ("0.wav", "1.wav", "2.wav")])
    with pytest.raises(SedmtlError, match="a list should hold audio files, found a float"):
        detector.predict([0.0, 0.1])
    assert detector.predict([]) == []
