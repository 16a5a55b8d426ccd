"""The built-in corpus: sounds of `synthesis`, written to WAV files and read like any other folder.

The files can be listened to, and all later stages treat them like real recordings.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from sedmtl.config import Config, Folder, Synthetic
from sedmtl.data import audio
from sedmtl.data.corpora import folder
from sedmtl.data.corpora.recordings import EventClip, Scene
from sedmtl.runtime.atomic import write_bytes
from sedmtl.runtime.lock import folder_lock

Makers = Mapping[str, Callable[..., audio.Audio]]


def events(settings: Synthetic, config: Config) -> Sequence[EventClip]:
    """The synthetic event clips, written first if missing."""
    return folder.events(_written("events", settings, config), config)


def scenes(settings: Synthetic, config: Config) -> Sequence[Scene]:
    """The synthetic scenes, each as long as a mixture, written first if missing."""
    duration_s = config.mixing.duration_s
    return folder.scenes(_written("scenes", settings, config, duration_s), config)


def _written(kind: str, settings: Synthetic, config: Config, *durations_s: float) -> Folder:
    """The complete folder; its name encodes all settings that determine its content."""
    name = f"{kind}_seed{settings.seed}_{settings.clips_per_class}"
    name += "".join(f"_{duration_s:g}s" for duration_s in durations_s)
    root = config.locate(settings.root).resolve() / name
    if not root.is_dir():
        with folder_lock(root.parent, "making the built-in corpus"):
            unfinished = root.with_name(f".{name}.part")
            shutil.rmtree(unfinished, ignore_errors=True)
            _write(unfinished, kind, settings, *durations_s)
            unfinished.rename(root)
    return Folder(kind="folder", root=root)


def _write(root: Path, kind: str, settings: Synthetic, *durations_s: float) -> None:
    # Imported here: scipy.signal would take a quarter of the start-up time of most commands.
    from sedmtl.data.corpora import synthesis

    makers: Makers = synthesis.EVENTS if kind == "events" else synthesis.SCENES

    def write(label_index: int, label: str, number: int) -> None:
        # Seeded per file, so that no file depends on another.
        rng = np.random.default_rng([settings.seed, label_index, number])
        path = root / label / f"{label}_{number:03d}.wav"
        waveform = makers[label](rng, *durations_s)
        write_bytes(path, audio.wav_bytes(waveform, synthesis.SAMPLE_RATE))

    jobs = [
        (i, label, n) for i, label in enumerate(makers) for n in range(settings.clips_per_class)
    ]
    with ThreadPoolExecutor() as pool:
        list(pool.map(write, *zip(*jobs, strict=True)))
