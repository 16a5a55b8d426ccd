"""The benchmark sizes, and synthetic corpora and projects of these sizes.

Synthetic events are 44.1 kHz mono 16-bit WAV of 0.3 to 10 s, as in FSDKaggle2018; scenes are 48 kHz
stereo 24-bit WAV of 10 s, as in TAU Urban Acoustic Scenes 2019. Decoding and resampling take as
long as for real files; the content does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from sedmtl.runtime.process import keep_memory

SNR_DB = 10
"""SNR of the mixtures for features and training."""

DATA_YAML = """\
corpus:
  events: {{kind: fsdkaggle2018, root: "{corpora}"}}
  scenes: {{kind: tau2019, root: "{corpora}"}}
mixing: {{mixtures_per_fold: {per_fold}, reuse_scenes: true}}
"""
"""The paper's settings, except for the number of mixtures and the reuse of scenes."""


@dataclass(frozen=True)
class Settings:
    """All sizes; by default the paper's, with only as many clips as stable figures need.

    The synthetic corpus has the same ratio of clips to mixtures as the paper's (3,710 to 8,000), so
    that reading them takes the same share of the time.
    """

    folder: str  # root of all output
    corpora: str  # folder with FSDKaggle2018 and TAU 2019 in their published layout
    n_clips: int = 475  # synthetic
    n_classes: int = 41
    n_mixtures: int = 1024  # in four folds
    n_scenes: int = 64  # synthetic; each is used in several mixtures of its fold
    n_plain: int = 16  # mixtures per timing of the reference for `mix`
    n_scaled: int = 10_000  # mixtures for `scale`
    batch: int = 24
    width: int = 32
    minutes: float = 10  # of the recording for `predict`
    short_minutes: float = 2  # of the recordings for comparing memory
    long_minutes: float = 120
    n_scored: int = 2_000  # clips for the metrics
    limit_s: float = 0.75  # time to measure each limit of the machine
    timings: int = 5  # maximum per stage

    @property
    def shared(self) -> Path:
        """The `data.yaml` of the project with the mixtures and features that the stages read."""
        return Path(self.folder) / "project" / "data.yaml"


QUICK = {
    "n_clips": 8, "n_mixtures": 12, "n_scenes": 8, "n_plain": 2, "n_scaled": 80, "batch": 4,
    "width": 8, "minutes": 0.5, "short_minutes": 0.5, "long_minutes": 2, "n_scored": 20,
    "limit_s": 0.05, "timings": 1,
}  # fmt: skip
"""Tiny sizes, to check that everything runs."""


def write_project(folder: Path, settings: Settings) -> Path:
    """Create a project folder; returns its `data.yaml`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "data.yaml"
    corpora = Path(settings.corpora).as_posix()
    path.write_text(DATA_YAML.format(corpora=corpora, per_fold=settings.n_mixtures // 4))
    return path


def write_corpora(settings: Settings) -> None:
    """Write both synthetic corpora, with noise as audio; the clips cycle through the classes."""
    root, rng = Path(settings.corpora), np.random.default_rng(0)
    events, scenes = root / "FSDKaggle2018", root / "TAU-urban-acoustic-scenes-2019-development"
    audio, meta = (events / f"FSDKaggle2018.{part}" for part in ("audio_train", "meta"))
    for folder in (audio, meta, scenes / "audio"):
        folder.mkdir(parents=True)
    rows = ["fname,label,manually_verified"]
    for i in range(settings.n_clips):
        wave = 0.1 * rng.standard_normal(round(rng.uniform(0.3, 10) * 44_100))
        soundfile.write(audio / f"{i:08x}.wav", wave, 44_100, subtype="PCM_16")
        rows.append(f"{i:08x}.wav,class_{i % settings.n_classes:02d},1")
    (meta / "train_post_competition.csv").write_text("\n".join([*rows, ""]))
    rows = ["filename\tscene_label\tidentifier\tsource_label"]
    for i in range(settings.n_scenes):
        wave, name = 0.03 * rng.standard_normal((480_000, 2)), f"audio/town-{i}-0-a.wav"
        soundfile.write(scenes / name, wave, 48_000, subtype="PCM_24")
        rows.append(f"{name}\t{('park', 'metro')[i % 2]}\ttown-{i}\ta")
    (scenes / "meta.csv").write_text("\n".join([*rows, ""]))


def sedmtl(*words: str) -> None:
    """Run sedmtl's command line in this process; raises a RuntimeError if the command fails."""
    from sedmtl.cli.app import app

    keep_memory()  # as the command line does before parsing
    if code := app([*words, "--debug"], standalone_mode=False):
        raise RuntimeError(f"sedmtl {words[0]} ended with {code}")
