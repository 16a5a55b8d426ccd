"""`sedmtl features`, beside log-mels in float64 from WAV files, and the transform alone."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import soundfile
import torch
from numpy.lib.stride_tricks import sliding_window_view

from bench.lap import Lap, Run, seconds_of
from bench.project import SNR_DB, sedmtl, shared_project, write_project
from bench.settings import Settings
from sedmtl.config import Config, load_config
from sedmtl.runtime import memory
from sedmtl.runtime.workers.threads import all_cores

Array = npt.NDArray[np.float64]


def store(settings: Settings) -> Run:
    """The store of `sedmtl features`."""
    memory.keep()  # as the command line does
    path = write_project(Path(settings.folder) / "features", settings)
    mixtures = shared_project(settings).parent / "work" / "mixtures"
    (path.parent / "work").mkdir()
    (path.parent / "work" / "mixtures").symlink_to(mixtures)
    made = path.parent / "work" / "features"
    n_clips = settings.n_mixtures

    def run() -> Lap:
        shutil.rmtree(made, ignore_errors=True)
        seconds = seconds_of(lambda: sedmtl("features", "--config", str(path)))
        n_bytes = (made / f"snr_{SNR_DB}.h5").stat().st_size
        return Lap(seconds, n_clips, 10 * n_clips, {"KB a clip": n_bytes / n_clips / 1000})

    return run


def plain(settings: Settings) -> Run:
    """A clip after the other, all kept in memory and stored in one go."""
    config = load_config(shared_project(settings))
    wavs = sorted((config.work_dir / "mixtures" / f"snr_{SNR_DB}").glob("*.wav"))
    path, filters = Path(settings.folder) / "plain.h5", mel_filters(config)

    def make_all() -> None:
        clips = [logmel(read(wav), config, filters) for wav in wavs]
        with h5py.File(path, "w") as file:
            file["logmel"] = np.stack(clips)

    def run() -> Lap:
        seconds = seconds_of(make_all)
        notes = {"KB a clip": path.stat().st_size / len(wavs) / 1000}
        return Lap(seconds, len(wavs), 10 * len(wavs), notes)

    return run


def limit(settings: Settings) -> Run:
    """The real FFT of every frame and its product with the mel filters, on all cores."""
    memory.keep()  # as the command line does
    config = load_config(shared_project(settings))
    torch.set_num_threads(1)  # the workers are the threads
    filters = torch.from_numpy(mel_filters(config)).float()
    waveform = torch.rand(config.mixing.n_samples)
    frames = waveform.unfold(0, config.features.window, config.features.hop)
    magnitude = torch.fft.rfft(frames).abs()

    def transform(_: int) -> None:
        torch.fft.rfft(frames)
        torch.matmul(magnitude, filters)

    def transform_all() -> None:
        with ThreadPoolExecutor(all_cores()) as pool:
            for _ in pool.map(transform, range(settings.n_mixtures)):
                pass

    return lambda: Lap(seconds_of(transform_all), settings.n_mixtures)


def read(path: Path) -> Array:
    """(N,) float64 of a 16-bit mixture; 1 is 32767."""
    samples: Array = soundfile.read(path, dtype="int16")[0] / 32_767
    return samples


def logmel(waveform: Array, config: Config, filters: Array) -> Array:
    """(N,) -> (T, F) by the definition (docs/protocol.md, Features)."""
    settings = config.features
    taper = np.hamming(settings.window)
    frames = sliding_window_view(waveform, settings.window)[:: settings.hop]  # (T, window)
    magnitude = np.abs(np.fft.rfft(frames * taper)) / np.sqrt(np.sum(taper**2))
    result: Array = np.log(magnitude @ filters + 1e-8)
    return result


def mel_filters(config: Config) -> Array:
    """(window / 2 + 1, F) triangles of area 1, equally spaced on Slaney's mel scale."""
    settings = config.features
    bins_hz = np.linspace(0, config.mixing.sample_rate / 2, settings.window // 2 + 1)[:, None]
    f_min, f_max = _mel(settings.f_min), _mel(settings.f_max)
    edges_hz = _hz(np.linspace(f_min, f_max, settings.n_mels + 2))
    low, centre, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising, falling = (bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)
    filters: Array = np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
    return filters


# Slaney's scale (Auditory Toolbox, 1998): 3 mel to 200 Hz up to 1 kHz, then 27 to a factor of 6.4.
def _mel(hz: float) -> float:
    return 3 * hz / 200 if hz < 1000 else 15 + 27 * float(np.log(hz / 1000) / np.log(6.4))


def _hz(mel: Array) -> Array:
    return np.where(mel < 15, 200 * mel / 3, 1000 * 6.4 ** ((mel - 15) / 27))
