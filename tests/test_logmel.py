"""The log-mel front end, compared term by term with the recipe's values; the standardiser."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import signal
from sklearn.preprocessing import StandardScaler

from sedmtl import logmel
from sedmtl.logmel import LogMel, Standardiser, n_frames, slaney_filters
from sedmtl.runtime.errors import SedmtlError

RATE, WINDOW, HOP, N_MELS, F_MIN, F_MAX = 32_000, 2_048, 1_024, 64, 50.0, 16_000.0


def logmel_of(waveform, **settings):
    with torch.inference_mode():
        return LogMel(**settings)(torch.from_numpy(np.float32(waveform))[None])[0].numpy()


def slaney_triangles(rate, window, n_mels, f_min, f_max):
    """Triangles with an area of 1 Hz each, in float64: (window / 2 + 1, n_mels)."""

    def mel(hz):
        return 3 * hz / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)

    mels = np.linspace(mel(f_min), mel(f_max), n_mels + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    hz = np.linspace(0, rate / 2, window // 2 + 1)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (hz[:, None] - left) / (centre - left)
    falling = (right - hz[:, None]) / (right - centre)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (right - left)


def scipy_logmel(waveform, rate, window, hop, n_mels, f_min, f_max):
    taper = signal.windows.hamming(window, sym=True)
    stft = signal.ShortTimeFFT(taper, hop, rate, fft_mode="onesided")
    frames = 1 + (len(waveform) - window) // hop
    # ShortTimeFFT centres slice p at p * hop; with k_offset its first slice begins at sample 0.
    spectrum = stft.stft(waveform, 0, frames, k_offset=window // 2)
    magnitude = np.abs(spectrum).T / np.sqrt(np.sum(taper**2))
    return np.log(magnitude @ slaney_triangles(rate, window, n_mels, f_min, f_max) + 1e-8)


@pytest.fixture(scope="module")
def golden():
    return np.load(Path(__file__).parent / "data" / "logmel.npz")


@pytest.fixture(params=["torchaudio", "own"])
def filter_bank(request, monkeypatch):
    """Run a test with torchaudio's filters, and as if torchaudio did not load."""
    if request.param == "own":
        monkeypatch.setattr(logmel, "melscale_fbanks", None)
    else:
        pytest.importorskip("torchaudio", exc_type=(ImportError, OSError))


@pytest.mark.usefixtures("filter_bank")
def test_the_golden_values_are_met(golden):
    made = logmel_of(golden["waveform_int16"] / 32_767)
    assert made.shape == golden["logmel"].shape
    assert made.dtype == np.float32
    wrong = np.abs(made - golden["logmel"])
    # Near the floor, log(1e-8), only the rounding of a float32 FFT remains of the signal.
    loud = golden["logmel"] > -12
    assert loud.any()
    assert not loud.all()
    assert wrong[loud].max() < 2e-3
    assert np.median(wrong / np.abs(golden["logmel"])) < 1e-4


@pytest.mark.usefixtures("filter_bank")
def test_the_mel_filters_are_the_golden_ones(golden):
    np.testing.assert_allclose(LogMel().filters, golden["mel_filterbank"], rtol=0, atol=2e-7)


SETTINGS = [
    (RATE, WINDOW, N_MELS, F_MIN, F_MAX), (8_000, 256, 16, 0.0, 3_000.0),
    (44_100, 4_096, 128, 20.0, 20_000.0), (22_050, 512, 40, 30.0, 11_025.0),
    (16_000, 400, 64, 1_200.0, 7_800.0),
]  # fmt: skip


@pytest.mark.parametrize(("rate", "window", "n_mels", "f_min", "f_max"), SETTINGS)
def test_the_mel_filters_are_slaneys_with_unit_area(rate, window, n_mels, f_min, f_max):
    filters = slaney_filters(window, f_min, f_max, n_mels, rate)
    expected = slaney_triangles(rate, window, n_mels, f_min, f_max)
    # The edges are computed in float32, which leaves 5 digits to a triangle's slopes.
    np.testing.assert_allclose(filters, expected, rtol=0, atol=2e-5 * expected.max())


@pytest.mark.parametrize(
    ("rate", "window", "n_mels", "f_min", "f_max"),
    [*SETTINGS, (11_025, 512, 40, 30.0, 5_512.5), (48_000, 1_000, 2, 0.0, 900.0)],
)
def test_features_do_not_depend_on_torchaudio(rate, window, n_mels, f_min, f_max):
    functional = pytest.importorskip("torchaudio.functional", exc_type=(ImportError, OSError))
    own = slaney_filters(window, f_min, f_max, n_mels, rate)
    theirs = functional.melscale_fbanks(
        window // 2 + 1, f_min, f_max, n_mels, rate, "slaney", "slaney"
    )
    assert torch.equal(own, theirs)


@pytest.mark.slow
def test_it_works_without_torchaudio(tmp_path):
    (tmp_path / "torchaudio.py").write_text("raise OSError('undefined symbol')")
    code = "from sedmtl.logmel import LogMel, melscale_fbanks; LogMel(); print(melscale_fbanks)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ
        | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(logmel.__file__).parents[1]}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "None\n"


@pytest.mark.parametrize(
    ("rate", "window", "hop", "n_mels", "f_min", "f_max"),
    [(RATE, WINDOW, HOP, N_MELS, F_MIN, F_MAX), (8_000, 256, 100, 16, 50, 4_000)],
)
def test_it_agrees_with_the_recipe_in_scipy(rate, window, hop, n_mels, f_min, f_max):
    waveform = np.random.default_rng(0).normal(scale=0.1, size=rate)
    made = logmel_of(
        waveform, sample_rate=rate, window=window, hop=hop, n_mels=n_mels, f_min=f_min, f_max=f_max
    )
    expected = scipy_logmel(waveform, rate, window, hop, n_mels, f_min, f_max)
    assert made.shape == expected.shape
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("n_samples", "window", "hop", "expected"),
    [(320_000, 2_048, 1_024, 311), (2_048, 2_048, 1_024, 1), (3_071, 2_048, 1_024, 1),
     (3_072, 2_048, 1_024, 2), (1_000, 100, 300, 4)],
)  # fmt: skip
def test_only_windows_that_fit_become_frames(n_samples, window, hop, expected):
    assert n_frames(n_samples, window, hop) == expected
    assert len(logmel_of(np.zeros(n_samples), window=window, hop=hop, n_mels=2)) == expected


def test_silence_is_the_floor():
    np.testing.assert_allclose(logmel_of(np.zeros(4_096)), np.log(1e-8), rtol=1e-6)


def test_ten_times_the_amplitude_adds_log_ten():
    noise = np.random.default_rng(1).normal(scale=0.05, size=8_192)
    np.testing.assert_allclose(logmel_of(10 * noise) - logmel_of(noise), np.log(10), atol=1e-4)


@pytest.mark.parametrize("hz", [200, 1_000, 5_000, 12_000])
def test_a_tone_is_loudest_in_the_bin_centred_nearest_to_it(hz):
    frames = logmel_of(0.5 * np.sin(2 * np.pi * hz * np.arange(8_192) / RATE))
    nearest = np.argmin(np.abs(LogMel().centres_hz() - hz))
    assert set(np.argmax(frames, axis=1)) == {nearest}


def test_centres_rise_and_lie_inside_their_filters():
    front_end = LogMel()
    centres, filters = front_end.centres_hz(), front_end.filters.numpy()
    assert (np.diff(centres) > 0).all()
    bins = np.rint(centres / (RATE / WINDOW)).astype(int)
    assert (filters[bins, np.arange(N_MELS)] > 0).all()


def test_a_batch_is_its_clips_one_by_one():
    clips = np.random.default_rng(2).normal(scale=0.1, size=(3, 8_192)).astype(np.float32)
    together = LogMel()(torch.from_numpy(clips)).numpy()
    for clip, frames in zip(clips, together, strict=True):
        np.testing.assert_allclose(frames, logmel_of(clip), rtol=0, atol=1e-5)


def test_it_has_nothing_to_train_and_nothing_to_save():
    front_end = LogMel()
    assert not list(front_end.parameters())
    assert not front_end.state_dict()


def test_more_mel_bins_than_the_window_resolves_are_refused():
    with pytest.raises(SedmtlError, match=r"features.n_mels: 128 .* 256 samples; take fewer"):
        LogMel(window=256, n_mels=128)


@pytest.mark.parametrize("sizes", [(12,), (5, 4, 3), (1,) * 12])
def test_the_standardiser_is_sklearns_whatever_the_blocks(sizes):
    rng = np.random.default_rng(3)
    # An offset of a thousand times the spread, at which a plain sum of squares would cancel.
    clips = (rng.normal(size=(12, 7, 4)) * [1, 2, 0.1, 0.01] + [0, -12, 100, 10]).astype(np.float32)
    blocks = np.split(clips, np.cumsum(sizes)[:-1])
    reference = StandardScaler().fit(clips.reshape(-1, 4).astype(np.float64))
    fitted = Standardiser.fit(blocks)
    np.testing.assert_allclose(fitted.mean, reference.mean_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(fitted.std, reference.scale_, rtol=1e-6)
    scaled = fitted(torch.from_numpy(clips)).numpy().reshape(-1, 4)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-3)


@pytest.mark.parametrize("value", [0.0, -18.420681, 0.1])
def test_a_bin_that_never_changes_is_only_centred(value):
    clips = np.random.default_rng(4).normal(size=(9, 311, 2)).astype(np.float32)
    clips[..., 1] = value
    fitted = Standardiser.fit(np.split(clips, [2, 3]))
    assert fitted.std[1] == 1
    scaled = fitted(torch.from_numpy(clips))
    assert (scaled[..., 1] == 0).all()
    assert torch.isfinite(scaled).all()


def test_the_standardiser_is_saved_with_the_network():
    saved = Standardiser([1.0, 2.0], [3.0, 4.0]).state_dict()
    assert {key: value.tolist() for key, value in saved.items()} == {
        "mean": [1.0, 2.0], "std": [3.0, 4.0]
    }  # fmt: skip
