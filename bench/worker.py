"""A process for each side of a comparison, so that its peak of memory is its own.

It prepares itself, then runs a lap each time it is asked to: the sides take turns, and what else
the machine does meets both.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple, Self

from bench.lap import Lap, Run
from bench.machine import peak_mb
from bench.settings import Settings


class Side(NamedTuple):
    """What a worker runs: `MODULE:FUNCTION` of bench, called with the settings and arguments."""

    maker: str
    arguments: tuple[object, ...] = ()


class Worker:
    """A process that runs laps of one side.

    Attributes:
        peak_mb: Its peak of resident memory so far.
    """

    def __init__(self, side: Side, settings: Settings) -> None:
        self.peak_mb = 0.0
        self._errors = TemporaryFile()  # noqa: SIM115 - closed by __exit__
        texts = json.dumps(side.arguments), json.dumps(asdict(settings))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", side.maker, *texts],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=Path(__file__).parents[1],
        )

    def __enter__(self) -> Self:
        """Wait until it is prepared.

        Raises:
            RuntimeError: It has ended instead; says what it said last.
        """
        try:
            self._answer()
        except RuntimeError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def lap(self) -> Lap:
        """Run one.

        Raises:
            RuntimeError: The process has ended; says what it said last.
        """
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._answer()
        self.peak_mb = answer["peak_mb"]
        return Lap(**answer["lap"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip()
            raise RuntimeError(f"a worker failed: {said[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def make_run(side: Side, settings: Settings) -> Run:
    """Prepare a side in this process."""
    module, function = side.maker.split(":")
    maker = getattr(importlib.import_module(f"bench.{module}"), function)
    run: Run = maker(settings, *side.arguments)
    return run


def main() -> None:
    """Be the process: a line comes in for each lap, and a line of JSON goes out."""
    # What is measured may print: only answers go to the caller.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    maker, arguments, settings = sys.argv[1:]
    run = make_run(Side(maker, tuple(json.loads(arguments))), Settings(**json.loads(settings)))
    print("{}", file=answers, flush=True)
    for _ in sys.stdin:
        lap = asdict(run())
        print(json.dumps({"lap": lap, "peak_mb": peak_mb()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
