"""`sedmtl mix` and `sedmtl features`, plain implementations of both, and their lower limits."""

from __future__ import annotations

import math
import shutil
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import soundfile
import soxr
import torch
from numpy.lib.stride_tricks import sliding_window_view

from bench.project import SNR_DB, Settings, sedmtl, write_project
from bench.runner import Family, Run, Stage, Timing, on_all_cores, seconds_of
from sedmtl.config import Config, Mixing, load_config
from sedmtl.data.mixing import plan_project
from sedmtl.data.plan import PlannedMixture
from sedmtl.logmel import slaney_filters

Wave = npt.NDArray[np.float64]
SNRS_DB = {1: (10,), 3: (0, 10, 20)}


def mix(settings: Settings, n_snrs: int) -> Run:
    """`sedmtl mix` at one or three SNRs, including planning."""
    path = write_project(Path(settings.folder) / f"mix_{n_snrs}", settings)
    n_made = settings.n_mixtures * n_snrs
    snrs = [word for snr_db in SNRS_DB[n_snrs] for word in ("--snr", str(snr_db))]

    def run() -> Timing:
        shutil.rmtree(path.parent / "work", ignore_errors=True)
        seconds = seconds_of(lambda: sedmtl("mix", *snrs, "--config", str(path)))
        return Timing(seconds, n_made, 10 * n_made)

    return run


def plain_mix(settings: Settings, n_snrs: int) -> Run:
    """Plain mixing: one WAV file per mixture and SNR; files are reread and resampled for each."""
    config = load_config(settings.shared)
    planned = plan_project(config).mixtures[: settings.n_plain]
    folder = Path(settings.folder) / f"plain_{n_snrs}"
    folder.mkdir(exist_ok=True)

    def make_all() -> None:
        for mixture in planned:
            for snr_db in SNRS_DB[n_snrs]:
                waveform = mixed(mixture, snr_db, config.mixing)
                path = folder / f"{snr_db}_{mixture.name}"
                soundfile.write(path, waveform, config.mixing.sample_rate, subtype="PCM_16")

    n_made = len(planned) * n_snrs
    return lambda: Timing(seconds_of(make_all), n_made, 10 * n_made)


def decode(settings: Settings, n_snrs: int) -> Run:
    """Decode and resample each event once and one scene per mixture, on all cores."""
    config = load_config(settings.shared)
    planned = plan_project(config).mixtures
    clips = {event.clip.path for mixture in planned for event in mixture.events}
    files = [(path, math.inf) for path in clips]
    files += [(mixture.scene.path, config.mixing.duration_s) for mixture in planned]

    def read(file: tuple[Path, float]) -> None:
        path, duration_s = file
        with soundfile.SoundFile(path) as sound:
            n_samples = int(min(sound.frames, duration_s * sound.samplerate))
            mono = sound.read(n_samples, dtype="float32", always_2d=True)[:, 0].copy()
            soxr.resample(mono, sound.samplerate, config.mixing.sample_rate, quality="HQ")

    return lambda: Timing(on_all_cores(read, files), len(planned) * n_snrs)


def mixed(mixture: PlannedMixture, snr_db: float, mixing: Mixing) -> npt.NDArray[np.int16]:
    """(n_samples,) mixture computed by its definition (docs/protocol.md, Mixtures), in float64."""
    rate, n_samples = mixing.sample_rate, mixing.n_samples
    scene = np.resize(_read(mixture.scene.path, rate)[:n_samples], n_samples)
    scene = scene / _rms(scene)
    events = np.zeros(n_samples)
    for event in mixture.events:
        whole = _read(event.clip.path, rate)
        cut = whole[: round(mixing.event_s * rate)] / _rms(whole) * 10 ** (snr_db / 20)
        first = round(event.onset_s * rate)
        events[first : first + len(cut)] += cut[: n_samples - first]
    waveform = (events + scene) / (2 * max(np.abs(events).max(), np.abs(scene).max()))
    return np.rint(32_767 * waveform).astype(np.int16)


def _read(path: Path, rate: int) -> Wave:
    samples, file_rate = soundfile.read(path, always_2d=True)
    return soxr.resample(samples.mean(axis=1), file_rate, rate, quality="HQ")


def _rms(waveform: Wave) -> float:
    return float(np.sqrt(np.mean(np.square(waveform))))


def features(settings: Settings) -> Run:
    """`sedmtl features`."""
    path = write_project(Path(settings.folder) / "features", settings)
    work_dir, shared = path.parent / "work", settings.shared.parent / "work"
    work_dir.mkdir()
    (work_dir / "mixtures").symlink_to(shared / "mixtures")

    def run() -> Timing:
        shutil.rmtree(work_dir / "features", ignore_errors=True)
        seconds = seconds_of(lambda: sedmtl("features", "--config", str(path)))
        return _timing(seconds, settings.n_mixtures, work_dir / "features" / f"snr_{SNR_DB}.h5")

    return run


def plain_features(settings: Settings) -> Run:
    """Plain features: clips one by one, all kept in memory and stored at the end."""
    config = load_config(settings.shared)
    path, filters = Path(settings.folder) / "plain.h5", mel_filters(config)
    wavs = sorted((config.work_dir / "mixtures" / f"snr_{SNR_DB}").glob("*.wav"))

    def make_all() -> None:
        clips = [logmel(wav, config, filters) for wav in wavs]
        with h5py.File(path, "w") as file:
            file["logmel"] = np.stack(clips)

    return lambda: _timing(seconds_of(make_all), len(wavs), path)


def transform(settings: Settings) -> Run:
    """The real FFT of every frame, and the product with the mel filters, on all cores."""
    config = load_config(settings.shared)
    torch.set_num_threads(1)  # the workers are the threads
    filters = torch.from_numpy(mel_filters(config)).float()
    waveform = torch.rand(config.mixing.n_samples)
    frames = waveform.unfold(0, config.features.window, config.features.hop)
    magnitude = torch.fft.rfft(frames).abs()

    def one(_: int) -> None:
        torch.fft.rfft(frames)
        torch.matmul(magnitude, filters)

    n_clips = settings.n_mixtures
    return lambda: Timing(on_all_cores(one, range(n_clips)), n_clips)


def logmel(wav: Path, config: Config, filters: Wave) -> Wave:
    """(T, F) log-mel of a mixture by its definition (docs/protocol.md, Features)."""
    settings = config.features
    waveform = soundfile.read(wav, dtype="int16")[0] / 32_767
    taper = np.hamming(settings.window)
    frames = sliding_window_view(waveform, settings.window)[:: settings.hop]  # (T, window)
    magnitude = np.abs(np.fft.rfft(frames * taper)) / np.sqrt(np.sum(taper**2))
    return np.log(magnitude @ filters + 1e-8)


def mel_filters(config: Config) -> Wave:
    """(window / 2 + 1, F) mel filters in float64."""
    f = config.features
    rate = config.mixing.sample_rate
    return slaney_filters(f.window, f.f_min, f.f_max, f.n_mels, rate).double().numpy()


def _timing(seconds: float, n_clips: int, store: Path) -> Timing:
    notes = {"KB per clip": store.stat().st_size / n_clips / 1000}
    return Timing(seconds, n_clips, 10 * n_clips, notes)


MIX = Family(
    tuple(
        Stage(name, "mixtures/s", *(partial(side, n_snrs=n) for side in (mix, plain_mix, decode)))
        for name, n in (("mix, one SNR", 1), ("mix, three SNRs", 3))
    ),
    "one process, float64, files read and resampled again for each mixture and SNR, one WAV per "
    "mixture; limit: decoding and resampling each event once and one scene per mixture, on all "
    "cores",
)
FEATURES = Family(
    (Stage("features", "clips/s", features, plain_features, transform),),
    "one process, float64, from WAV files, all clips in memory, stored at the end; limit: FFT and "
    "mel product of each frame, on all cores",
)
