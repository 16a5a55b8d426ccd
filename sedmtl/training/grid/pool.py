"""Commands side by side, one a slot. A leaf: it knows nothing of training.

A slot is an environment, such as the GPU that a command may see.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

LOOK_S = 0.1
"""Poll interval of the running commands."""

GRACE_S = 10.0
"""Time that a stopped command has to end by itself."""


@dataclass(frozen=True)
class Job:
    """A command to run.

    Attributes:
        log_path: Gets what the command writes, after what is there already.
    """

    name: str
    command: Sequence[str]
    log_path: Path

    def newest_line(self) -> str:
        """The last line of the log, or nothing."""
        try:
            with self.log_path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 2000))
                lines = file.read().decode(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


@dataclass
class State:
    """Where a pool is.

    Attributes:
        running: The job of each busy slot.
        exit_codes: Of each finished job, by its number; negative: ended by that signal.
    """

    running: dict[int, Job] = field(default_factory=dict)
    exit_codes: dict[int, int] = field(default_factory=dict)


def run_jobs(
    jobs: Sequence[Job],
    environments: Sequence[Mapping[str, str]],
    show: Callable[[State], None] = lambda _: None,
) -> list[int]:
    """Run every job, in order, as slots become free; a failure leaves the others alone.

    An exception here, be it Ctrl-C, or SIGTERM, stops the commands that run.

    Args:
        jobs: What to run.
        environments: Of each slot, beside that of this process; at most one job runs in each.
        show: Called after every poll of the commands.

    Returns:
        The exit code of each job.
    """
    state = State()
    waiting = iter(range(len(jobs)))
    busy: dict[int, tuple[int, subprocess.Popen[bytes]]] = {}
    with _sigterm_interrupts():
        try:
            while len(state.exit_codes) < len(jobs):
                for slot in sorted(set(range(len(environments))) - set(busy)):
                    if (number := next(waiting, None)) is not None:
                        busy[slot] = number, _start(jobs[number], environments[slot])
                state.running = {slot: jobs[number] for slot, (number, _) in busy.items()}
                show(state)
                time.sleep(LOOK_S)
                for slot, (number, process) in list(busy.items()):
                    if (code := process.poll()) is not None:
                        state.exit_codes[number] = code
                        del busy[slot]
            state.running = {}
            show(state)
        finally:
            _stop([process for _, process in busy.values()])
    return [state.exit_codes[number] for number in range(len(jobs))]


def _start(job: Job, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    job.log_path.parent.mkdir(parents=True, exist_ok=True)
    # In this process's group: what a closed terminal or a scheduler sends to it reaches all.
    with job.log_path.open("ab") as log:
        return subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_S
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """What ends this process ends its commands: SIGTERM becomes an interruption, as Ctrl-C is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
