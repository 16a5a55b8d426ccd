"""`sedmtl mix`, a plain way to make the same mixtures, and the decoding that neither can avoid."""

from __future__ import annotations

import json
import math
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from bench.project import Settings, sedmtl, write_project
from bench.runner import Family, Lap, Run, Stage, on_all_cores, seconds_of
from sedmtl.config import Config, Mixing, load_config
from sedmtl.data.corpora import load_events, load_scenes

Wave = npt.NDArray[np.float64]
SNRS_DB = {1: (10,), 3: (0, 10, 20)}


def ours(settings: Settings, n_snrs: int) -> Run:
    """`sedmtl mix` at one SNR or three, planning included."""
    path = write_project(Path(settings.folder) / f"mix_{n_snrs}", settings)
    n_made = settings.n_mixtures * n_snrs
    snrs = [word for snr_db in SNRS_DB[n_snrs] for word in ("--snr", str(snr_db))]

    def run() -> Lap:
        shutil.rmtree(path.parent / "work", ignore_errors=True)
        seconds = seconds_of(lambda: sedmtl("mix", *snrs, "--config", str(path)))
        return Lap(seconds, n_made, 10 * n_made)

    return run


def plain(settings: Settings, n_snrs: int) -> Run:
    """One WAV file per mixture and SNR; files are read and resampled again for each."""
    config = load_config(settings.shared)
    corpus, planned = Corpus(config), read_plan(config)[: settings.n_plain]
    folder = Path(settings.folder) / f"plain_{n_snrs}"
    folder.mkdir(exist_ok=True)

    def make_all() -> None:
        for mixture in planned:
            for snr_db in SNRS_DB[n_snrs]:
                waveform = corpus.mix(mixture, snr_db, config.mixing)
                path = folder / f"{snr_db}_{mixture['name']}"
                soundfile.write(path, waveform, config.mixing.sample_rate, subtype="PCM_16")

    n_made = len(planned) * n_snrs
    return lambda: Lap(seconds_of(make_all), n_made, 10 * n_made)


def limit(settings: Settings, n_snrs: int) -> Run:
    """Decode and resample each event once and one scene per mixture, on all cores."""
    config = load_config(settings.shared)
    corpus, planned = Corpus(config), read_plan(config)
    scenes = [corpus.scenes[mixture["scene"]] for mixture in planned]
    clips = {corpus.events[event["clip"]] for mixture in planned for event in mixture["events"]}
    files = [(path, math.inf) for path in clips]
    files += [(path, config.mixing.duration_s) for path in scenes]

    def decode(file: tuple[Path, float]) -> None:
        path, duration_s = file
        with soundfile.SoundFile(path) as sound:
            n_samples = int(min(sound.frames, duration_s * sound.samplerate))
            mono = sound.read(n_samples, dtype="float32", always_2d=True)[:, 0].copy()
            soxr.resample(mono, sound.samplerate, config.mixing.sample_rate, quality="HQ")

    return lambda: Lap(on_all_cores(decode, files), len(planned) * n_snrs)


def read_plan(config: Config) -> list[dict[str, Any]]:
    """The mixtures of `plan.yaml`; each is one line of JSON there."""
    lines = (config.work_dir / "mixtures" / "plan.yaml").read_text().splitlines()
    return [json.loads(line[2:]) for line in lines if line.startswith("- ")]


class Corpus:
    """Mixtures by their definition (docs/protocol.md, Mixtures), one at a time, in float64."""

    def __init__(self, config: Config) -> None:
        self.events = {clip.name: clip.path for clip in load_events(config)}
        self.scenes = {scene.name: scene.path for scene in load_scenes(config)}

    def mix(self, mixture: dict[str, Any], snr_db: float, mixing: Mixing) -> npt.NDArray[np.int16]:
        """(n_samples,) int16 from one mixture of the plan."""
        rate, n_samples = mixing.sample_rate, mixing.n_samples
        scene = np.resize(_read(self.scenes[mixture["scene"]], rate)[:n_samples], n_samples)
        scene = scene / _rms(scene)
        events = np.zeros(n_samples)
        for event in mixture["events"]:
            whole = _read(self.events[event["clip"]], rate)
            cut = whole[: round(mixing.event_s * rate)] / _rms(whole) * 10 ** (snr_db / 20)
            first = round(event["onset_s"] * rate)
            events[first : first + len(cut)] += cut[: n_samples - first]
        mixed = (events + scene) / (2 * max(np.abs(events).max(), np.abs(scene).max()))
        return np.rint(32_767 * mixed).astype(np.int16)


def _read(path: Path, rate: int) -> Wave:
    samples, file_rate = soundfile.read(path, always_2d=True)
    return soxr.resample(samples.mean(axis=1), file_rate, rate, quality="HQ")


def _rms(waveform: Wave) -> float:
    return float(np.sqrt(np.mean(np.square(waveform))))


def _stage(name: str, n_snrs: int) -> Stage:
    sides = (partial(side, n_snrs=n_snrs) for side in (ours, plain, limit))
    return Stage(name, "mixtures/s", *sides)


FAMILY = Family(
    (_stage("mix, one SNR", 1), _stage("mix, three SNRs", 3)),
    "one process, float64, files read and resampled again for each mixture and SNR, one WAV per "
    "mixture",
    "decoding and resampling each event once and one scene per mixture, on all cores",
    needs="mixtures",
)
