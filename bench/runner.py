"""The measurement runner: each side of a comparison in a child process of its own.

Separate processes keep peak memory separate. A child prepares itself, then does one timed lap
whenever it is asked: the sides take turns, so other load on the machine affects both.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from tempfile import TemporaryFile
from typing import Any

from bench.machine import ROOT, peak_mb
from bench.project import Settings
from sedmtl.runtime.workers.threads import all_cores


@dataclass(frozen=True)
class Lap:
    """One timed pass over some work.

    Attributes:
        seconds: Wall time of the work, without its preparation.
        n_items: Clips, mixtures or whatever the stage counts.
        audio_s: Seconds of audio processed.
        notes: Further figures; each key names the figure and its unit.
        peak_mb: Peak resident memory of the child so far, which it adds itself.
    """

    seconds: float
    n_items: float = 1
    audio_s: float = 0.0
    notes: Mapping[str, float] = field(default_factory=dict)
    peak_mb: float = 0.0


Run = Callable[[], Lap]
"""Does the work once."""


@dataclass(frozen=True)
class Side:
    """What a child runs: `MODULE:FUNCTION` in bench, which takes the settings and arguments."""

    maker: str
    arguments: tuple[object, ...] = ()

    def prepare(self, settings: Settings) -> Run:
        """Prepare the work in this process."""
        module, function = self.maker.split(":")
        maker = getattr(importlib.import_module(f"bench.{module}"), function)
        run: Run = maker(settings, *self.arguments)
        return run


@contextmanager
def worker(side: Side, settings: Settings) -> Iterator[Run]:
    """Start a child that prepares a side; yields the call that runs one lap in it.

    Raises:
        RuntimeError: The child ended; the message holds the end of its stderr. Laps raise it, too.
    """
    words = side.maker, json.dumps(side.arguments), json.dumps(asdict(settings))
    with TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.runner", *words], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip
        assert child.stdin
        assert child.stdout

        def answer() -> dict[str, Any]:
            if line := child.stdout.readline():
                return dict(json.loads(line))
            errors.seek(0)
            stderr = errors.read().decode(errors="replace").strip()
            raise RuntimeError(f"a worker failed: {stderr[-2000:]}")

        def lap() -> Lap:
            child.stdin.write("\n")
            child.stdin.flush()
            return Lap(**answer())

        try:
            answer()
            yield lap
        finally:
            child.kill()
            child.communicate()


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def on_all_cores(work: Callable[[Any], object], items: Iterable[Any]) -> float:
    """Wall time of a call per item, one thread per core."""
    with ThreadPoolExecutor(all_cores()) as pool:
        return seconds_of(lambda: list(pool.map(work, items)))


def python(settings: Settings, *words: str) -> Run:  # noqa: ARG001 - as every maker
    """A whole Python process, from its start to its end.

    Raises:
        RuntimeError: It failed.
    """

    def work() -> None:
        done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} failed: {done.stderr.strip()}")

    return lambda: Lap(seconds_of(work))


def _main() -> None:
    """The child: reads a line per lap, writes a line of JSON per lap."""
    # The measured code may print; only answers go to the parent.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    maker, arguments, settings = sys.argv[1:]
    run = Side(maker, tuple(json.loads(arguments))).prepare(Settings(**json.loads(settings)))
    print("{}", file=answers, flush=True)
    for _ in sys.stdin:
        print(json.dumps(asdict(run()) | {"peak_mb": peak_mb()}), file=answers, flush=True)


if __name__ == "__main__":
    _main()
