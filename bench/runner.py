"""Stages, and the processes that measure them: each side of a comparison in a separate process.

Separate processes keep peak memory separate. After preparation, a process times its work once
per request; the sides alternate, so that other load on the machine affects both.
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
class Timing:
    """One timed pass over some work."""

    seconds: float  # wall time of the work, without preparation
    n_items: float = 1  # clips, mixtures or other items of the stage
    audio_s: float = 0.0  # seconds of audio processed
    notes: Mapping[str, float] = field(default_factory=dict)  # further figures, by name and unit
    peak_mb: float = 0.0  # peak resident memory of the process so far, added by it


Run = Callable[[], Timing]
"""Runs the work once."""

Prepare = Callable[[Settings], Run]
"""Prepares the work; its process imports only the module of this function."""


@dataclass(frozen=True)
class Stage:
    """One row of the table; a side shared with another row is measured only once."""

    name: str
    unit: str  # unit of its figure; for 's', less is better
    ours: Prepare  # sedmtl's implementation
    reference: Prepare | None = None  # a plain implementation
    limit: Prepare | None = None  # the fastest possible on this machine, if known
    n_timings: int = 3  # timings that count
    n_warm: int = 1  # runs before those
    needs_gpu: bool = False  # skipped on a machine without a GPU

    @property
    def sides(self) -> dict[str, Prepare]:
        """The stage's sides, by name."""
        named = {"ours": self.ours, "reference": self.reference, "limit": self.limit}
        return {name: side for name, side in named.items() if side}


@dataclass(frozen=True)
class Family:
    """Stages that share a legend, which describes their reference."""

    stages: tuple[Stage, ...]
    legend: str
    on_project: bool = True  # whether they read mixtures and features of the shared project


def measure(stage: Stage, settings: Settings, timings: dict[Prepare, list[Timing]]) -> None:
    """Run the sides of a stage that have no timings yet, alternating."""
    new = [side for side in stage.sides.values() if side not in timings]
    n_timings = min(stage.n_timings, settings.timings)
    with ExitStack() as stack:
        say(f"{stage.name}: preparing")
        runs = [stack.enter_context(worker(side, settings)) for side in new]
        for number in range(1 - stage.n_warm, n_timings + 1):
            what = f"timing {number} of {n_timings}" if number > 0 else "warming up"
            say(f"{stage.name}: {what}")
            for side, run in zip(new, runs, strict=True):
                timings.setdefault(side, []).append(run())
    for side in new:
        del timings[side][: stage.n_warm]


@contextmanager
def worker(prepare: Prepare, settings: Settings) -> Iterator[Run]:
    """Start a process and prepare it; yields a function that times the work once in it."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        pool.submit(_prepare, prepare, settings).result()
        yield lambda: pool.submit(_run_timed).result()


_prepared: list[Run] = []
"""The prepared work of a `worker` process."""


def _prepare(prepare: Prepare, settings: Settings) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):  # silence the measured code
        os.dup2(nothing, output)
    _prepared.append(prepare(settings))


def _run_timed() -> Timing:
    return replace(_prepared[0](), peak_mb=peak_mb())


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of a call, in seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def on_all_cores(work: Callable[[Any], object], items: Iterable[Any]) -> float:
    """Wall time of a call per item, one thread per core, with sedmtl's memory settings."""
    keep_memory()
    with ThreadPoolExecutor(all_cores()) as pool:
        return seconds_of(lambda: list(pool.map(work, items)))


def python(*words: str) -> None:
    """Run a Python process and wait for it; raises a RuntimeError if it fails."""
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed: {done.stderr.strip()}")


def process(_: Settings, words: tuple[str, ...]) -> Run:
    """Timings of a whole Python process."""
    return lambda: Timing(seconds_of(lambda: python(*words)))


def say(text: str) -> None:
    """Print progress to stderr."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


_HELP = partial(process, words=("-m", "sedmtl", "--help"))
_TORCH = partial(process, words=("-c", "import torch"))
STARTUP = Family(
    (Stage("sedmtl --help", "s", _HELP, _TORCH, n_timings=5),),
    "a process that imports torch",
    on_project=False,
)
