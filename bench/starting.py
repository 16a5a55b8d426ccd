"""How long a command takes that does nothing: `sedmtl --help`, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

from bench.lap import Lap, Run, seconds_of
from bench.settings import Settings


def show_help(settings: Settings) -> Run:  # noqa: ARG001 - as every maker
    """`sedmtl --help`."""
    return _running("-m", "sedmtl", "--help")


def import_torch(settings: Settings) -> Run:  # noqa: ARG001
    """What a command line pays that imports PyTorch before it reads its arguments."""
    return _running("-c", "import torch")


def _running(*words: str) -> Run:
    def work() -> None:
        subprocess.run([sys.executable, *words], check=True, capture_output=True)

    return lambda: Lap(seconds_of(work))
