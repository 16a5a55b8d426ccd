"""Stages, and the processes that measure them: each side of a comparison in one of its own.

Separate processes keep peak memory separate. A process prepares itself, then does one timed lap
whenever it is asked: the sides take turns, so other load on the machine affects both.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from typing import Any

from bench.machine import ROOT, peak_mb
from bench.project import Settings
from sedmtl.runtime.process import keep_memory
from sedmtl.runtime.workers.threads import all_cores


@dataclass(frozen=True)
class Lap:
    """One timed pass over some work."""

    seconds: float  # wall time of the work, without its preparation
    n_items: float = 1  # clips, mixtures or whatever the stage counts
    audio_s: float = 0.0  # of audio processed
    notes: Mapping[str, float] = field(default_factory=dict)  # by figure and unit
    peak_mb: float = 0.0  # resident memory of the process so far, which it adds itself


Run = Callable[[], Lap]
"""Does the work once."""

Prepare = Callable[[Settings], Run]
"""Prepares the work; its process imports nothing but the module of this function."""


@dataclass(frozen=True)
class Stage:
    """One row of the table; a side that another row has, too, is measured once."""

    name: str
    unit: str  # of its figure; with 's', less is better
    ours: Prepare  # as sedmtl does it
    reference: Prepare | None = None  # the plain way
    limit: Prepare | None = None  # the fastest that this machine could do it, if known
    n_laps: int = 3  # timed
    n_warm: int = 1  # before those, not timed
    needs_gpu: bool = False  # left out on a machine without one

    @property
    def sides(self) -> dict[str, Prepare]:
        """Those that the stage has, by name."""
        named = {"ours": self.ours, "reference": self.reference, "limit": self.limit}
        return {name: side for name, side in named.items() if side}


@dataclass(frozen=True)
class Family:
    """Stages that share a legend: what they are compared with."""

    stages: tuple[Stage, ...]
    legend: str
    on_project: bool = True  # whether they read the mixtures and features of the shared project


def measure(stage: Stage, settings: Settings, laps: dict[Prepare, list[Lap]]) -> None:
    """Run those sides of a stage that have no laps yet, in turn."""
    new = [side for side in stage.sides.values() if side not in laps]
    n_laps = min(stage.n_laps, settings.laps)
    with ExitStack() as stack:
        say(f"{stage.name}: preparing")
        runs = [stack.enter_context(worker(side, settings)) for side in new]
        for number in range(1 - stage.n_warm, n_laps + 1):
            say(f"{stage.name}: " + (f"lap {number} of {n_laps}" if number > 0 else "warming up"))
            for side, run in zip(new, runs, strict=True):
                laps.setdefault(side, []).append(run())
    for side in new:
        del laps[side][: stage.n_warm]


@contextmanager
def worker(prepare: Prepare, settings: Settings) -> Iterator[Run]:
    """Start a process that prepares itself; yields the call that runs one lap in it."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        pool.submit(_prepare, prepare, settings).result()
        yield lambda: pool.submit(_run_lap).result()


_prepared: list[Run] = []
"""What a process of `worker` runs."""


def _prepare(prepare: Prepare, settings: Settings) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):  # the measured code prints
        os.dup2(nothing, output)
    _prepared.append(prepare(settings))


def _run_lap() -> Lap:
    return replace(_prepared[0](), peak_mb=peak_mb())


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def on_all_cores(work: Callable[[Any], object], items: Iterable[Any]) -> float:
    """Wall time of a call per item, one thread per core, in memory kept as sedmtl keeps it."""
    keep_memory()
    with ThreadPoolExecutor(all_cores()) as pool:
        return seconds_of(lambda: list(pool.map(work, items)))


def python(*words: str) -> None:
    """Run a Python process to its end; a RuntimeError if it fails."""
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed: {done.stderr.strip()}")


def process(_: Settings, words: tuple[str, ...]) -> Run:
    """A whole Python process, from its start to its end."""
    return lambda: Lap(seconds_of(lambda: python(*words)))


def say(text: str) -> None:
    """Progress, on stderr."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


_HELP = partial(process, words=("-m", "sedmtl", "--help"))
_TORCH = partial(process, words=("-c", "import torch"))
STARTUP = Family(
    (Stage("sedmtl --help", "s", _HELP, _TORCH, n_laps=5),),
    "a process that imports torch",
    on_project=False,
)
