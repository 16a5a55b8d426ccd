"""`sedmtl features`, log-mels in float64 from WAV files, and the transform alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import soundfile
import torch
from numpy.lib.stride_tricks import sliding_window_view

from bench.project import SNR_DB, Settings, sedmtl, write_project
from bench.runner import Family, Lap, Run, Stage, on_all_cores, seconds_of
from sedmtl.config import Config, load_config

Array = npt.NDArray[np.float64]


def ours(settings: Settings) -> Run:
    """`sedmtl features`."""
    path = write_project(Path(settings.folder) / "features", settings)
    work_dir, shared = path.parent / "work", settings.shared.parent / "work"
    work_dir.mkdir()
    (work_dir / "mixtures").symlink_to(shared / "mixtures")

    def run() -> Lap:
        shutil.rmtree(work_dir / "features", ignore_errors=True)
        seconds = seconds_of(lambda: sedmtl("features", "--config", str(path)))
        return _lap(seconds, settings.n_mixtures, work_dir / "features" / f"snr_{SNR_DB}.h5")

    return run


def plain(settings: Settings) -> Run:
    """One clip after the other, all kept in memory and stored at the end."""
    config = load_config(settings.shared)
    path, filters = Path(settings.folder) / "plain.h5", mel_filters(config)
    wavs = sorted((config.work_dir / "mixtures" / f"snr_{SNR_DB}").glob("*.wav"))

    def make_all() -> None:
        clips = [logmel(read(wav), config, filters) for wav in wavs]
        with h5py.File(path, "w") as file:
            file["logmel"] = np.stack(clips)

    return lambda: _lap(seconds_of(make_all), len(wavs), path)


def limit(settings: Settings) -> Run:
    """The real FFT of every frame and its product with the mel filters, on all cores."""
    config = load_config(settings.shared)
    torch.set_num_threads(1)  # the workers are the threads
    filters = torch.from_numpy(mel_filters(config)).float()
    waveform = torch.rand(config.mixing.n_samples)
    frames = waveform.unfold(0, config.features.window, config.features.hop)
    magnitude = torch.fft.rfft(frames).abs()

    def transform(_: int) -> None:
        torch.fft.rfft(frames)
        torch.matmul(magnitude, filters)

    n_clips = settings.n_mixtures
    return lambda: Lap(on_all_cores(transform, range(n_clips)), n_clips)


def read(path: Path) -> Array:
    """(N,) float64 of a 16-bit mixture; 1 is 32767."""
    return soundfile.read(path, dtype="int16")[0] / 32_767


def logmel(waveform: Array, config: Config, filters: Array) -> Array:
    """(N,) -> (T, F) by the definition (docs/protocol.md, Features)."""
    settings = config.features
    taper = np.hamming(settings.window)
    frames = sliding_window_view(waveform, settings.window)[:: settings.hop]  # (T, window)
    magnitude = np.abs(np.fft.rfft(frames * taper)) / np.sqrt(np.sum(taper**2))
    return np.log(magnitude @ filters + 1e-8)


def mel_filters(config: Config) -> Array:
    """(window / 2 + 1, F) triangles of area 1, equally spaced on Slaney's mel scale.

    The scale (Auditory Toolbox, 1998): 3 mel per 200 Hz up to 1 kHz, then 27 mel per factor of 6.4.
    """
    settings, per_log = config.features, 27 / np.log(6.4)
    bounds_hz = np.array([settings.f_min, settings.f_max])
    high = 15 + per_log * np.log(np.maximum(bounds_hz, 1000) / 1000)
    mels = np.linspace(*np.where(bounds_hz < 1000, 3 * bounds_hz / 200, high), settings.n_mels + 2)
    edges_hz = np.where(mels < 15, 200 * mels / 3, 1000 * np.exp((mels - 15) / per_log))
    low, centre, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    bins_hz = np.linspace(0, config.mixing.sample_rate / 2, settings.window // 2 + 1)[:, None]
    rising, falling = (bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)


def _lap(seconds: float, n_clips: int, store: Path) -> Lap:
    notes = {"KB per clip": store.stat().st_size / n_clips / 1000}
    return Lap(seconds, n_clips, 10 * n_clips, notes)


FAMILY = Family(
    (Stage("features", "clips/s", ours, plain, limit),),
    "one process, float64, from WAV files, all clips in memory, stored at the end",
    "FFT and mel product of each frame, on all cores",
    needs="mixtures",
)
