"""Trains the requested runs: one after another here, or in processes on several GPUs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sedmtl.config import Config
from sedmtl.inference.runs import is_finished
from sedmtl.runtime import distributed, progress
from sedmtl.runtime.devices import choose_device
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import Store
from sedmtl.training.config import TrainConfig
from sedmtl.training.grid.launch import gpu_environments, launch, run_grid
from sedmtl.training.job import TrainOptions, job_commands
from sedmtl.training.run_folder import folders_of
from sedmtl.training.tensorboard import summary_writer
from sedmtl.training.train import train_one


def train_all(project: Config, configs: Sequence[TrainConfig], options: TrainOptions) -> list[Path]:
    """Train every run; finished ones are skipped.

    Several GPUs share a single run, or train one run of a grid each.

    Returns:
        The run folders; empty if other processes trained a single run, as they print its folder.

    Raises:
        SedmtlError: A run failed. The other runs of a grid are trained first.
    """
    choose_device(options.n_gpus)
    if options.tensorboard:
        summary_writer()  # fail before a folder is made if tensorboard is missing
    n_gpus = options.n_gpus or 0
    if len(configs) == 1:
        if n_gpus < 2 or distributed.world_size() > 1:
            return [train_one(project, configs[0], options)]
        with job_commands(configs, replace(options, n_gpus=None)) as (command,):
            launch(command, n_gpus)
        return []
    if distributed.world_size() > 1:
        raise SedmtlError(
            f"torchrun trains a single run, and this grid has {len(configs)}: without torchrun, "
            "--gpus gives each GPU a run"
        )
    runs = folders_of(project.work_dir, configs, options.run_name)
    for data in {config.data for config in configs}:
        with Store(project.work_dir / "features" / f"{data}.h5", "logmel"):
            pass  # fail early if a store is missing or damaged
    options = replace(options, resume=True)
    of_runs = dict(zip(runs, configs, strict=True))
    if n_gpus > 1:
        failed = _side_by_side(of_runs, options)
    else:
        failed = _one_after_the_other(project, of_runs, options)
    if failed:
        listed = "; ".join(f"{run.name} ({reason})" for run, reason in failed.items())
        raise SedmtlError(f"{len(failed)} of {len(configs)} runs failed: {listed}")
    return runs


def _one_after_the_other(
    project: Config, of_runs: Mapping[Path, TrainConfig], options: TrainOptions
) -> dict[Path, str]:
    """Train a grid in this process; returns the reasons of failed runs."""
    failed: dict[Path, str] = {}
    started, n_trained, n_runs = time.monotonic(), 0, len(of_runs)
    for number, (run, config) in enumerate(of_runs.items(), start=1):
        seconds = (time.monotonic() - started) / max(n_trained, 1) * (n_runs - number + 1)
        left = f", about {progress.duration(seconds)} left" if n_trained else ""
        progress.say(f"run {number} of {n_runs}, {len(failed)} failed{left}")
        is_new = not is_finished(run)
        try:
            train_one(project, config, options)
            n_trained += is_new
        except (SedmtlError, OSError) as error:
            progress.say(f"failed: {error}")
            failed[run] = str(error)
    return failed


def _side_by_side(of_runs: Mapping[Path, TrainConfig], options: TrainOptions) -> dict[Path, str]:
    """Train a grid with one process per GPU; returns the reasons of failed runs."""
    n_gpus = min(options.n_gpus or 1, len(of_runs))
    progress.say(f"{len(of_runs)} runs, {n_gpus} at a time; each one writes its own train.log")
    with job_commands(list(of_runs.values()), replace(options, n_gpus=1)) as commands:
        by_run = dict(zip(of_runs, commands, strict=True))
        return run_grid(by_run, gpu_environments(n_gpus))
