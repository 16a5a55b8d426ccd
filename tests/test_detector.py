from __future__ import annotations

import doctest
import shutil

import numpy as np
import pytest
import soundfile
import torch
from conftest import write_tone
from scipy.signal import resample_poly

import sedmtl
from sedmtl.inference.checkpoint import load_model
from sedmtl.inference.detector import Detector
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import Store

RUN = "2apae_snr20_fold1_alpha0.001_seed0"


@pytest.fixture(scope="module")
def run(trained):
    return trained.work / "runs" / RUN


@pytest.fixture(scope="module")
def detector(run):
    return sedmtl.load(run)


@pytest.fixture(scope="module")
def mixture_path(trained):
    return trained.work / "mixtures" / "snr_20" / "mix_01.wav"


def test_a_run_is_loaded_from_its_folder_alone(run, tmp_path, mixture_path):
    elsewhere = tmp_path / "copied"
    elsewhere.mkdir()
    for name in ("model.json", "model.safetensors"):
        (elsewhere / name).write_bytes((run / name).read_bytes())
    here, there = sedmtl.load(run), sedmtl.load(str(elsewhere))
    np.testing.assert_array_equal(here.inspect(mixture_path).clip, there.inspect(mixture_path).clip)


@pytest.mark.parametrize("ask", ["predict", "inspect"])
def test_a_network_that_overflows_says_so_instead_of_finding_nothing(run, mixture_path, ask):
    card, network = load_model(run)
    for name, weights in network.named_parameters():
        if name.startswith("class_conv"):
            torch.nn.init.constant_(weights, -3e38)
    with pytest.raises(SedmtlError, match="the network's output is NaN or infinity"):
        getattr(Detector(card, network), ask)(mixture_path)


def test_an_inspection_has_the_shapes_it_names(detector, mixture_path):
    inspection = detector.inspect(mixture_path)
    n_classes, n_frames, n_mels = 3, 124, 16
    assert inspection.classes == detector.classes == ("tone_2700", "tone_300", "tone_900")
    assert inspection.clip.shape == (n_classes,)
    assert inspection.frame.shape == inspection.time_attention.shape == (n_classes, n_frames)
    assert inspection.mel_attention.shape == (n_classes, n_frames, n_mels)
    assert inspection.logmel.shape == inspection.reconstruction.shape == (n_frames, n_mels)
    assert inspection.frame_edges_s.shape == (n_frames + 1,)
    assert inspection.mel_hz.shape == (n_mels,)


def test_inspection_does_to_audio_what_training_did(detector, run, trained, mixture_path):
    """At the recipe's level, stored features and file give the same scores."""
    card, network = load_model(run)
    waveform, rate = soundfile.read(mixture_path, dtype="float32")
    at_peak = waveform * (0.5 / np.abs(waveform).max())
    with torch.no_grad():
        logmel = card.build_standardiser()(card.build_logmel()(torch.from_numpy(at_peak)[None]))
        expected = network(logmel).clip[0].numpy()
    np.testing.assert_allclose(detector.inspect(waveform, rate).clip, expected, atol=1e-5)
    with Store(trained.work / "features" / "snr_20.h5", "logmel") as store:
        stored = store.read(range(1))[0]
    # Only the level differs: a constant in the logarithm, well above the floor.
    raw = card.build_logmel()(torch.from_numpy(at_peak)[None])[0].numpy()
    assert np.ptp((raw - stored)[stored > -10]) < 0.01


@pytest.mark.parametrize("gain", [0.01, 0.5])
def test_the_level_of_a_recording_does_not_matter(detector, mixture_path, gain):
    waveform, rate = soundfile.read(mixture_path)
    loud, quiet = (detector.inspect(waveform * g, rate).clip for g in (1, gain))
    np.testing.assert_allclose(loud, quiet, atol=1e-4)


def test_channels_are_averaged(detector, mixture_path):
    waveform, rate = soundfile.read(mixture_path)
    stereo = np.stack([1.5 * waveform, 0.5 * waveform], axis=1)
    np.testing.assert_allclose(
        detector.inspect(waveform, rate).clip, detector.inspect(stereo, rate).clip, atol=1e-5
    )


def test_the_rate_of_a_recording_does_not_matter(detector):
    """The same band-limited sound at twice the rate."""
    rng = np.random.default_rng(0)
    low = resample_poly(rng.normal(size=8_000), 2, 1)  # 2 s at 8 kHz, nothing above 2 kHz
    high = resample_poly(low, 2, 1)
    clip_8k, clip_16k = detector.inspect(low, 8_000).clip, detector.inspect(high, 16_000).clip
    np.testing.assert_allclose(clip_8k, clip_16k, atol=0.02)


def test_a_file_and_its_waveform_predict_the_same(detector, mixture_path):
    waveform, rate = soundfile.read(mixture_path, dtype="float32")
    np.testing.assert_array_equal(
        detector.inspect(mixture_path).clip, detector.inspect(waveform, rate).clip
    )


def test_start_chooses_the_clip_of_a_longer_file(detector, tmp_path):
    rng = np.random.default_rng(0)
    long = rng.normal(scale=0.1, size=5 * 8000)
    soundfile.write(tmp_path / "long.wav", long, 8000, subtype="FLOAT")
    part = detector.inspect(tmp_path / "long.wav", start_s=1.5)
    alone = detector.inspect(long[12_000 : 12_000 + 16_000], 8000)
    np.testing.assert_allclose(part.clip, alone.clip, atol=1e-6)
    np.testing.assert_allclose(part.frame_edges_s, alone.frame_edges_s + 1.5)
    np.testing.assert_allclose(
        detector.inspect(long, 8000, start_s=1.5).clip, alone.clip, atol=1e-6
    )


@pytest.mark.parametrize("n_samples", [1, 100, 16_000])
def test_short_clips_and_silence_are_predicted_too(detector, n_samples):
    inspection = detector.inspect(np.zeros(n_samples), 8000)
    assert np.isfinite(inspection.clip).all()
    assert inspection.duration_s == pytest.approx(n_samples / 8000)


def test_frames_stand_around_the_centre_of_their_window(detector, mixture_path):
    edges = detector.inspect(mixture_path).frame_edges_s
    assert edges[0] == pytest.approx((128 - 64) / 8000)
    np.testing.assert_allclose(np.diff(edges), 128 / 8000)
    assert edges[-1] <= detector.duration_s


def test_the_ranking_begins_with_the_likeliest_class(detector, mixture_path):
    inspection = detector.inspect(mixture_path)
    scores = [score for _, score in inspection.ranking()]
    assert scores == sorted(scores, reverse=True)
    assert dict(inspection.ranking()) == dict(
        zip(inspection.classes, map(float, inspection.clip), strict=True)
    )


@pytest.mark.parametrize("shape", [(2, 8000), (8000, 1, 1)])
def test_channels_come_last(detector, shape):
    with pytest.raises(SedmtlError, match=r"\(N, channels\), found .*transpose it"):
        detector.inspect(np.zeros(shape), 8000)


def test_bad_audio_is_one_sentence(detector, tmp_path):
    short = write_tone(tmp_path / "short.wav", 440, 0.5)
    with pytest.raises(SedmtlError, match="needs its sample_rate"):
        detector.inspect(np.zeros(100))
    with pytest.raises(SedmtlError, match="nothing starts at 3 s"):
        detector.inspect(short, start_s=3)
    with pytest.raises(SedmtlError, match="none at 3 s"):
        detector.inspect(np.zeros(8000), 8000, start_s=3)
    with pytest.raises(SedmtlError, match="the waveform holds NaN"):
        detector.inspect(np.array([0.0, np.nan]), 8000)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(SedmtlError, match=f"no run '{tmp_path}'"):
        sedmtl.load(tmp_path)


def test_within_a_project_a_run_is_loaded_by_its_name(trained, monkeypatch):
    monkeypatch.chdir(trained.folder)
    assert sedmtl.load().card == sedmtl.load(RUN).card
    with pytest.raises(SedmtlError, match=rf"did you mean '{RUN}'\? Known here"):
        sedmtl.load(RUN.replace("fold1", "fold2"))


def test_a_path_needs_no_project_or_valid_data_yaml(run, tmp_path, monkeypatch):
    (tmp_path / "data.yaml").write_text("no: project")
    monkeypatch.chdir(tmp_path)
    assert sedmtl.load(run).classes
    with pytest.raises(SedmtlError, match=r"data\.yaml: "):
        sedmtl.load(RUN)


def test_the_example_of_load_runs(run, mixture_path, tmp_path, monkeypatch):
    shutil.copy(mixture_path, tmp_path / "clip.wav")
    monkeypatch.chdir(tmp_path)
    names = {"sedmtl": sedmtl, "run": run}
    (test,) = doctest.DocTestFinder().find(sedmtl.load, "load", globs=names)
    result = doctest.DocTestRunner().run(test)
    assert result.attempted >= 5
    assert result.failed == 0


def test_a_recording_is_predicted_as_its_clips_are_inspected(detector, mixture_path):
    """A recording of clip length has the same scores either way."""
    prediction, inspection = detector.predict(mixture_path), detector.inspect(mixture_path)
    np.testing.assert_allclose(prediction.clip, inspection.clip, atol=1e-5)
    gate = inspection.clip[:, None] if detector.card.postprocessing.gated else 1
    np.testing.assert_allclose(prediction.frame, inspection.frame * gate, atol=1e-5)
    np.testing.assert_allclose(prediction.frame_edges_s, inspection.frame_edges_s)


def test_a_waveform_is_predicted_as_its_file(detector, mixture_path):
    waveform, rate = soundfile.read(mixture_path, dtype="float32")
    from_file, from_array = detector.predict(mixture_path), detector.predict(waveform, rate)
    np.testing.assert_allclose(from_file.frame, from_array.frame, atol=1e-5)
    assert from_file.events == from_array.events


def test_a_waveform_without_its_rate_is_refused(detector):
    with pytest.raises(SedmtlError, match="needs its sample_rate"):
        detector.predict(np.zeros(8000))
