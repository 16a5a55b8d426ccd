"""Starts the processes of `sedmtl train --gpus N`: one run on all GPUs, or one run per GPU.

Each process reads its job from a file (`training.job`).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, LogsSpecs
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from sedmtl.runtime import progress
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.process import restored_signals
from sedmtl.runtime.workers.threads import all_cores
from sedmtl.training.grid.pool import Job, run_jobs
from sedmtl.training.run_folder import LOG_NAME


def launch(command: Sequence[str], n_processes: int) -> None:
    """Run a command of this Python in several distributed processes, and wait for them.

    Like `torchrun --standalone --nproc-per-node N`, without its tables of tracebacks.

    Args:
        command: Arguments of the interpreter: `-P -m sedmtl train-job FILE`.
        n_processes: Number of processes, one per GPU.

    Raises:
        SedmtlError: A process was killed, or failed without an error message of ours.
        SystemExit: A process failed and printed why.
        KeyboardInterrupt: This process was interrupted, and has stopped the others.
    """
    with TemporaryDirectory() as logs:  # otherwise the launcher leaves a folder behind
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
        with restored_signals():  # the launcher does not restore the signal handlers
            elastic_launch(config, sys.executable)(*command)
    except SignalException:
        raise KeyboardInterrupt from None
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode in (1, 2):
            raise SystemExit(failure.exitcode) from None
        raise SedmtlError(
            f"process {rank + 1} of {n_processes} {_explain(failure.exitcode)}; the others were "
            "stopped, and --resume continues after the last complete epoch"
        ) from error
    finally:
        logging.disable(logging.NOTSET)


def gpu_environments(n_gpus: int) -> list[dict[str, str]]:
    """Environment variables that give each process one GPU and its share of the cores."""
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

    The output of a run goes to `train.log` in its folder. A terminal shows a line of counts and
    the newest line of each active run; a log file gets the counts whenever a run ends.

    Args:
        commands: Arguments of the interpreter, by run folder.
        environments: Environment variables of each slot.

    Returns:
        Reasons of failed runs, by run folder; the others are finished.
    """
    jobs = [
        Job(run.name, [sys.executable, *command], run / LOG_NAME)
        for run, command in commands.items()
    ]
    started, n_told = time.monotonic(), 0
    with progress.board() as draw:

        def show() -> None:
            nonlocal n_told
            counts = _counts(jobs, time.monotonic() - started)
            running = [f"  {job.name}: {job.newest_line()}" for job in jobs if job.is_running]
            draw([counts, *running])
            n_ended = sum(job.exit_code is not None for job in jobs)
            if n_ended > n_told and not progress.console.is_terminal:
                progress.say(counts)
            n_told = n_ended

        run_jobs(jobs, environments, show)
    return {run: _reason(job) for run, job in zip(commands, jobs, strict=True) if job.exit_code}


def _counts(jobs: Sequence[Job], seconds: float) -> str:
    ended = [job.exit_code for job in jobs if job.exit_code is not None]
    n_failed = sum(code != 0 for code in ended)
    left = ""
    if 0 < len(ended) < len(jobs):
        seconds_left = seconds / len(ended) * (len(jobs) - len(ended))
        left = f", {progress.duration(seconds_left)} left"
    return f"{len(ended) - n_failed} of {len(jobs)} runs done, {n_failed} failed{left}"


def _reason(job: Job) -> str:
    line, exit_code = job.newest_line(), job.exit_code or 0
    if exit_code > 0 and line.startswith("error: "):
        return line.removeprefix("error: ")
    return f"{_explain(exit_code)}; see {job.log_path}"


def _explain(exit_code: int) -> str:
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        memory = ", possibly because memory ran out" if name == "SIGKILL" else ""
        return f"was ended by {name}{memory}"
    return f"ended with exit code {exit_code}"
