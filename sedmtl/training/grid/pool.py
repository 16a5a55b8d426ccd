"""Runs commands in parallel, one per slot; independent of training.

A slot is a set of environment variables, such as the GPU that a command may use.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sedmtl.runtime.errors import explained
from sedmtl.runtime.process import restored_signals
from sedmtl.runtime.regular import open_own, open_to_read

POLL_S = 0.1
"""Interval between polls of the running commands."""

GRACE_S = 10.0
"""Time for a terminated command to exit before it is killed."""


@dataclass
class Job:
    """A command to run.

    Attributes:
        log_path: File that the command's output is appended to.
        is_running: Whether it has started and not ended.
        exit_code: Exit code once it has ended; negative if a signal ended it.
    """

    name: str
    command: Sequence[str]
    log_path: Path
    is_running: bool = False
    exit_code: int | None = None

    def newest_line(self) -> str:
        """The last non-empty line of the log; empty if there is none."""
        try:
            with open_to_read(self.log_path) as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 2000))
                lines = file.read().decode(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def run_jobs(
    jobs: Sequence[Job],
    environments: Sequence[Mapping[str, str]],
    show: Callable[[], None] = lambda: None,
) -> None:
    """Run all jobs, in order, as slots become free; a failure does not affect the others.

    An exception, Ctrl-C or SIGTERM stops the running commands.

    Args:
        jobs: The jobs to run.
        environments: Variables of each slot, added to this process's; one job at a time per slot.
        show: Called after every poll of the commands.
    """
    waiting, free = deque(jobs), deque(environments)
    busy: list[tuple[Job, subprocess.Popen[bytes], Mapping[str, str]]] = []
    with restored_signals(sigterm_interrupts=True):  # stopping this process stops its commands
        try:
            while waiting or busy:
                while waiting and free:
                    job, environment = waiting.popleft(), free.popleft()
                    busy.append((job, _start(job, environment), environment))
                show()
                time.sleep(POLL_S)
                for slot in [slot for slot in busy if slot[1].poll() is not None]:
                    job, process, environment = slot
                    job.is_running, job.exit_code = False, process.returncode
                    free.append(environment)
                    busy.remove(slot)
            show()
        finally:
            _stop([process for _, process, _ in busy])


def _start(job: Job, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    job.log_path.parent.mkdir(parents=True, exist_ok=True)
    with explained(f"cannot write {job.log_path}"):
        log = open_own(job.log_path, "ab")
    # In this process's group, so that signals from a closed terminal or a scheduler reach all.
    with log:
        process = subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )
    job.is_running = True
    return process


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
