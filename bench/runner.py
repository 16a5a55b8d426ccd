"""Stages, and the processes that measure them: each side of a comparison in a child of its own.

Separate processes keep peak memory separate. A child prepares itself, then does one timed lap
whenever it is asked: the sides take turns, so other load on the machine affects both.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

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
    peak_mb: float = 0.0  # resident memory of the child so far, which it adds itself


Run = Callable[[], Lap]
"""Does the work once."""

Prepare = Callable[[Settings], Run]
"""Prepares the work; a child imports nothing but the module of this function."""


class Earlier(NamedTuple):
    """A side of an earlier stage of the family: its laps stand here, too, and are not run again."""

    stage: str
    side: str


@dataclass(frozen=True)
class Stage:
    """One row of the table."""

    name: str
    unit: str  # of its figure; with 's', less is better
    ours: Prepare  # as sedmtl does it
    reference: Prepare | Earlier | None = None  # the plain way
    limit: Prepare | Earlier | None = None  # the fastest that this machine could do it, if known
    n_laps: int = 3  # timed
    n_warm: int = 1  # before those, not timed
    needs_gpu: bool = False  # left out on a machine without one

    @property
    def sides(self) -> dict[str, Prepare | Earlier]:
        """Those that the stage has, by name."""
        named = {"ours": self.ours, "reference": self.reference, "limit": self.limit}
        return {name: side for name, side in named.items() if side}


@dataclass(frozen=True)
class Family:
    """Stages that share a legend: what their references and limits are."""

    stages: tuple[Stage, ...]
    reference: str
    limit: str = ""
    needs: str = ""  # stores of the shared project to make first: 'features' include 'mixtures'


@contextmanager
def worker(prepare: Prepare, settings: Settings) -> Iterator[Run]:
    """Start a child that prepares itself; yields the call that runs one lap in it.

    Raises:
        RuntimeError: The child failed, here or in a lap; the message ends in its traceback.
    """
    context = multiprocessing.get_context("spawn")
    connection, of_child = context.Pipe()
    child = context.Process(target=_serve, args=(of_child, prepare, settings))
    child.start()
    of_child.close()

    def answer() -> Any:
        try:
            result = connection.recv()
        except EOFError:
            child.join()
            result = f"exit code {child.exitcode}"
        if isinstance(result, str):
            raise RuntimeError(f"a worker failed: {result}")
        return result

    def lap() -> Any:
        connection.send(None)
        return answer()

    try:
        answer()
        yield lap
    finally:
        child.kill()
        child.join()


def _serve(connection: Connection, prepare: Prepare, settings: Settings) -> None:
    """The child: sends a lap each time it is asked, or the text of an error."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):  # the measured code prints
        os.dup2(nothing, output)
    try:
        run = prepare(settings)
        connection.send(None)
        while True:
            connection.recv()
            connection.send(replace(run(), peak_mb=peak_mb()))
    except Exception:
        connection.send(traceback.format_exc()[-2000:])


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


_HELP = partial(process, words=("-m", "sedmtl", "--help"))
_TORCH = partial(process, words=("-c", "import torch"))
STARTUP = Family(
    (Stage("sedmtl --help", "s", _HELP, _TORCH, n_laps=5),), "a process that imports torch"
)
