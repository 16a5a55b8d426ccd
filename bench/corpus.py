"""A synthetic corpus in the public layout.

Events are 44.1 kHz mono 16-bit WAV of 0.3 to 10 s, as in FSDKaggle2018; scenes are 48 kHz stereo
24-bit WAV of 10 s, as in TAU Urban Acoustic Scenes 2019. Decoding and resampling take as long as
for real files; the content does not matter.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from bench.project import Settings

EVENT_RATE, SCENE_RATE, SCENE_S = 44_100, 48_000, 10


def write_corpora(settings: Settings) -> None:
    """Write both synthetic corpora; the clips cycle through the classes."""
    _write_events(Path(settings.corpora) / "FSDKaggle2018", settings.n_clips, settings.n_classes)
    scenes = Path(settings.corpora) / "TAU-urban-acoustic-scenes-2019-development"
    _write_scenes(scenes, settings.n_scenes)


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
