"""A synthetic corpus in the public layout: files as long, as wide and as fast as the real ones.

Events are 44.1 kHz mono 16-bit WAV of 0.3 to 10 s, as in FSDKaggle2018; scenes are 48 kHz stereo
24-bit WAV of 10 s, as in TAU Urban Acoustic Scenes 2019. What they sound like does not matter to
the time it takes to decode and resample them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

EVENT_RATE, SCENE_RATE, SCENE_S = 44_100, 48_000, 10
EVENTS = "FSDKaggle2018"
SCENES = "TAU-urban-acoustic-scenes-2019-development"


def write_corpora(folder: Path, n_clips: int, n_scenes: int, n_classes: int) -> None:
    """Write both corpora into a folder; the clips take turns in the classes."""
    write_events(folder / EVENTS, n_clips, n_classes)
    write_scenes(folder / SCENES, n_scenes)


def write_events(root: Path, n_clips: int, n_classes: int) -> None:
    """Decaying noise, with the table that says what it is."""
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


def write_scenes(root: Path, n_scenes: int) -> None:
    """Stereo noise, with the table that says where it was recorded."""
    (root / "audio").mkdir(parents=True)
    rows = ["filename\tscene_label\tidentifier\tsource_label"]
    for i in range(n_scenes):
        rng = np.random.default_rng([1, i])
        wave = rng.uniform(0.01, 0.05) * rng.standard_normal((SCENE_S * SCENE_RATE, 2))
        name = f"audio/park-town-{i}-0-a.wav"
        soundfile.write(root / name, wave, SCENE_RATE, subtype="PCM_24")
        rows.append(f"{name}\tpark\ttown-{i}\ta")
    (root / "meta.csv").write_text("\n".join([*rows, ""]))
