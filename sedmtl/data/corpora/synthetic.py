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
from sedmtl.data.corpora import folder, synthesis
from sedmtl.data.corpora.recordings import EventClip, Scene
from sedmtl.runtime.lock import folder_lock

Synthesiser = Callable[[np.random.Generator], audio.Audio]


def events(settings: Synthetic, config: Config) -> Sequence[EventClip]:
    """The synthetic event clips, written first if missing."""
    root = _written(f"events_{_stem(settings)}", synthesis.EVENTS, settings, config)
    return folder.events(Folder(kind="folder", root=root), config)


def scenes(settings: Synthetic, config: Config) -> Sequence[Scene]:
    """The synthetic scenes, each as long as a mixture, written first if missing."""
    duration_s = config.mixing.duration_s
    makers = {name: _lasting(duration_s, make) for name, make in synthesis.SCENES.items()}
    root = _written(f"scenes_{_stem(settings)}_{duration_s:g}s", makers, settings, config)
    return folder.scenes(Folder(kind="folder", root=root), config)


def _lasting(
    duration_s: float, make: Callable[[np.random.Generator, float], audio.Audio]
) -> Synthesiser:
    return lambda rng: make(rng, duration_s)


def _stem(settings: Synthetic) -> str:
    return f"seed{settings.seed}_{settings.clips_per_class}"


def _written(
    name: str, makers: Mapping[str, Synthesiser], settings: Synthetic, config: Config
) -> Path:
    """The complete folder of that name, which encodes all settings of its content."""
    root = config.locate(settings.root).resolve() / name
    if root.is_dir():
        return root
    with folder_lock(root.parent, "making the built-in corpus"):
        unfinished = root.with_name(f".{name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        _write(unfinished, makers, settings)
        unfinished.rename(root)
    return root


def _write(root: Path, makers: Mapping[str, Synthesiser], settings: Synthetic) -> None:
    def write(label_index: int, label: str, number: int) -> None:
        # Seeded per file, so that no file depends on another.
        rng = np.random.default_rng([settings.seed, label_index, number])
        path = root / label / f"{label}_{number:03d}.wav"
        audio.write(path, makers[label](rng), synthesis.SAMPLE_RATE)

    jobs = [
        (i, label, n) for i, label in enumerate(makers) for n in range(settings.clips_per_class)
    ]
    with ThreadPoolExecutor() as pool:
        list(pool.map(write, *zip(*jobs, strict=True)))
