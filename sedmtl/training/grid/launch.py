"""Starting the processes of `sedmtl train --gpus N`: one run on all GPUs, or a run a GPU.

What a process is to train is in a file (`training.job`).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, LogsSpecs
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from sedmtl.runtime import progress
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.workers.threads import all_cores
from sedmtl.training.grid.pool import Job, State, run_jobs
from sedmtl.training.run_folder import LOG_NAME


def launch(command: Sequence[str], n_processes: int) -> None:
    """Run a command of this Python in several processes that know of each other, to its end.

    It does what `torchrun --standalone --nproc-per-node N` does, without its tables of tracebacks.

    Args:
        command: What follows the interpreter: `-m sedmtl train-job FILE`.
        n_processes: One a GPU.

    Raises:
        SedmtlError: A process was ended from outside, or without a word.
        SystemExit: A process failed and printed why.
        KeyboardInterrupt: This process was asked to stop, and has stopped the others.
    """
    with TemporaryDirectory() as logs:  # or the launcher leaves a folder behind each time
        _launch(command, n_processes, DefaultLogsSpecs(logs))


def _launch(command: Sequence[str], n_processes: int, logs: LogsSpecs) -> None:
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=n_processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        logs_specs=logs,
    )
    logging.disable(logging.CRITICAL)
    try:
        with _own_signals():
            elastic_launch(config, sys.executable)(*command)
    except SignalException:
        raise KeyboardInterrupt from None
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode in (1, 2):
            raise SystemExit(failure.exitcode) from None
        raise SedmtlError(
            f"process {rank + 1} of {n_processes} {_explain(failure.exitcode)}; the others were "
            "stopped, and --resume continues after the last whole epoch"
        ) from error
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Take back the signals, whose handlers the launcher replaces and leaves replaced."""
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def gpu_environments(n_gpus: int) -> list[dict[str, str]]:
    """What lets each of several processes see a GPU of its own and its part of the cores."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(number) for number in range(n_gpus)]
    n_threads = os.environ.get("OMP_NUM_THREADS", str(max(1, all_cores() // n_gpus)))
    return [
        {"CUDA_VISIBLE_DEVICES": gpu.strip(), "OMP_NUM_THREADS": n_threads} for gpu in gpus[:n_gpus]
    ]


def run_grid(
    commands: Mapping[Path, Sequence[str]], environments: Sequence[Mapping[str, str]]
) -> dict[Path, str]:
    """Train many runs, as many at a time as there are environments.

    What a run writes is in its folder's `train.log`.

    Args:
        commands: What follows the interpreter, by run folder.
        environments: One a slot.

    Returns:
        Why runs failed, by run folder; the others are finished.
    """
    jobs = [
        Job(run.name, [sys.executable, *command], run / LOG_NAME)
        for run, command in commands.items()
    ]
    with progress.board() as draw:
        codes = run_jobs(jobs, environments, _GridView(len(jobs), draw).show)
    return {
        run: _reason(job, code)
        for run, job, code in zip(commands, jobs, codes, strict=True)
        if code != 0
    }


@dataclass
class _GridView:
    """What a user sees of a grid.

    In a terminal a line of counts and below it the newest line of each running run; in a log file
    the counts whenever a run has ended.
    """

    n_runs: int
    draw: Callable[[Sequence[str]], None]
    started: float = field(default_factory=time.monotonic)
    n_ended: int = 0

    def show(self, state: State) -> None:
        counts = self._counts(state)
        running = [f"  {job.name}: {job.newest_line()}" for _, job in sorted(state.running.items())]
        self.draw([counts, *running])
        if len(state.exit_codes) > self.n_ended and not progress.console.is_terminal:
            progress.say(counts)
        self.n_ended = len(state.exit_codes)

    def _counts(self, state: State) -> str:
        n_ended = len(state.exit_codes)
        n_failed = sum(code != 0 for code in state.exit_codes.values())
        left = ""
        if 0 < n_ended < self.n_runs:
            seconds = (time.monotonic() - self.started) / n_ended * (self.n_runs - n_ended)
            left = f", {progress.duration(seconds)} left"
        return f"{n_ended - n_failed} of {self.n_runs} runs done, {n_failed} failed{left}"


def _reason(job: Job, exit_code: int) -> str:
    line = job.newest_line()
    if exit_code > 0 and line.startswith("error: "):
        return line.removeprefix("error: ")
    return f"{_explain(exit_code)}; see {job.log_path}"


def _explain(exit_code: int) -> str:
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        memory = ", as by a machine that is out of memory" if name == "SIGKILL" else ""
        return f"was ended by {name}{memory}"
    return f"ended with exit code {exit_code}"
