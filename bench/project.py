"""A project on the corpora: its `data.yaml`, and sedmtl's command line on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.settings import Settings

DATA_YAML = """\
corpus:
  events: {{kind: fsdkaggle2018, root: "{corpora}"}}
  scenes: {{kind: tau2019, root: "{corpora}"}}
mixing: {{mixtures_per_fold: {per_fold}, reuse_scenes: true}}
"""
"""The paper's settings but for the number of mixtures, and for scenes that serve more than once."""

SNR_DB = 10
"""Of the mixtures that are worked on further."""


def write_project(folder: Path, settings: Settings) -> Path:
    """Make a project folder; returns its `data.yaml`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "data.yaml"
    corpora = Path(settings.corpora).as_posix()
    path.write_text(DATA_YAML.format(corpora=corpora, per_fold=settings.n_mixtures // 4))
    return path


def shared_project(settings: Settings) -> Path:
    """The `data.yaml` of the project that `prepare` makes, for stages to read from."""
    return Path(settings.folder) / "project" / "data.yaml"


def prepare(settings: Settings, with_features: bool) -> None:
    """Mix, and make features if they are needed, in processes of their own."""
    path = write_project(shared_project(settings).parent, settings)
    mix = ["mix", "--snr", str(SNR_DB), "--wav", str(settings.n_mixtures)]
    for words in (mix, *([["features"]] if with_features else [])):
        command = [sys.executable, "-m", "sedmtl", *words, "--config", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"sedmtl {words[0]} failed: {done.stderr.strip()}")


def sedmtl(*words: str) -> None:
    """Run sedmtl's command line in this process."""
    from sedmtl.cli.app import app

    if code := app([*words, "--debug"], standalone_mode=False):
        raise RuntimeError(f"sedmtl {words[0]} ended with {code}")
