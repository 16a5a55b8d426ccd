"""The sizes measured, and synthetic corpora and sedmtl projects of these sizes.

Synthetic events are 44.1 kHz mono 16-bit WAV of 0.3 to 10 s, as in FSDKaggle2018; scenes are 48 kHz
stereo 24-bit WAV of 10 s, as in TAU Urban Acoustic Scenes 2019. Decoding and resampling take as
long as for real files; the content does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

SNR_DB = 10
"""Of the mixtures that features and training use."""

EVENT_RATE, SCENE_RATE, SCENE_S = 44_100, 48_000, 10

DATA_YAML = """\
corpus:
  events: {{kind: fsdkaggle2018, root: "{corpora}"}}
  scenes: {{kind: tau2019, root: "{corpora}"}}
mixing: {{mixtures_per_fold: {per_fold}, reuse_scenes: true}}
"""
"""The paper's settings, except for the number of mixtures and the reuse of scenes."""


@dataclass(frozen=True)
class Settings:
    """Sizes of everything; by default the paper's, on no more clips than a steady figure needs.

    The synthetic corpus has as many clips per mixture as the paper's (3,710 to 8,000), so that
    reading them takes the same share of the time.
    """

    folder: str  # everything is written below it
    corpora: str  # holds FSDKaggle2018 and TAU 2019 in their published layout
    n_clips: int = 475  # synthetic
    n_classes: int = 41
    n_mixtures: int = 1024  # in four folds
    n_scenes: int = 64  # synthetic; each serves several mixtures of its fold
    n_plain: int = 16  # mixtures per lap of the reference of `mix`
    batch: int = 24
    width: int = 32
    minutes: float = 10  # of the recording for `predict`
    short_minutes: float = 2  # of the two recordings whose memory is compared
    long_minutes: float = 120
    n_scored: int = 2_000  # clips for the metrics
    limit_s: float = 0.75  # to search for each limit of the machine
    laps: int = 5  # per stage, at most

    @property
    def shared(self) -> Path:
        """The `data.yaml` of the project whose mixtures and features the stages read."""
        return Path(self.folder) / "project" / "data.yaml"


QUICK = {
    "n_clips": 8, "n_mixtures": 12, "n_scenes": 8, "n_plain": 2, "batch": 4, "width": 8,
    "minutes": 0.5, "short_minutes": 0.5, "long_minutes": 2, "n_scored": 20, "limit_s": 0.05,
    "laps": 1,
}  # fmt: skip
"""Sizes that only show that everything runs."""


def write_project(folder: Path, settings: Settings) -> Path:
    """Make a project folder; returns its `data.yaml`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "data.yaml"
    corpora = Path(settings.corpora).as_posix()
    path.write_text(DATA_YAML.format(corpora=corpora, per_fold=settings.n_mixtures // 4))
    return path


def write_corpora(settings: Settings) -> None:
    """Write both synthetic corpora; the clips cycle through the classes."""
    corpora = Path(settings.corpora)
    _write_events(corpora / "FSDKaggle2018", settings.n_clips, settings.n_classes)
    _write_scenes(corpora / "TAU-urban-acoustic-scenes-2019-development", settings.n_scenes)


def _write_events(root: Path, n_clips: int, n_classes: int) -> None:
    """Decaying noise, and the table of its labels."""
    audio_dir, meta_dir = root / "FSDKaggle2018.audio_train", root / "FSDKaggle2018.meta"
    audio_dir.mkdir(parents=True)
    meta_dir.mkdir()
    rows = ["fname,label,manually_verified"]
    for i in range(n_clips):
        rng = np.random.default_rng([0, i])
        n_samples = round(rng.uniform(0.3, 10) * EVENT_RATE)
        decay = np.exp(-np.arange(n_samples) / rng.uniform(0.2, 2) / EVENT_RATE)
        wave = 0.1 * decay * rng.standard_normal(n_samples)
        soundfile.write(audio_dir / f"{i:08x}.wav", wave, EVENT_RATE, subtype="PCM_16")
        rows.append(f"{i:08x}.wav,class_{i % n_classes:02d},1")
    (meta_dir / "train_post_competition.csv").write_text("\n".join([*rows, ""]))


def _write_scenes(root: Path, n_scenes: int) -> None:
    """Stereo noise, and the table of its recording locations."""
    (root / "audio").mkdir(parents=True)
    rows = ["filename\tscene_label\tidentifier\tsource_label"]
    for i in range(n_scenes):
        rng = np.random.default_rng([1, i])
        wave = rng.uniform(0.01, 0.05) * rng.standard_normal((SCENE_S * SCENE_RATE, 2))
        name = f"audio/park-town-{i}-0-a.wav"
        soundfile.write(root / name, wave, SCENE_RATE, subtype="PCM_24")
        rows.append(f"{name}\tpark\ttown-{i}\ta")
    (root / "meta.csv").write_text("\n".join([*rows, ""]))


def sedmtl(*words: str) -> None:
    """Run sedmtl's command line in this process.

    Raises:
        RuntimeError: The command failed.
    """
    from sedmtl.cli.app import app

    if code := app([*words, "--debug"], standalone_mode=False):
        raise RuntimeError(f"sedmtl {words[0]} ended with {code}")
