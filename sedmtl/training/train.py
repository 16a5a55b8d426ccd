"""`sedmtl train`: a feature store -> a run folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sedmtl.config import Config
from sedmtl.inference.checkpoint import is_finished, load_state, save_model, save_state, write_run
from sedmtl.models import count_parameters
from sedmtl.runtime import distributed, progress
from sedmtl.runtime.atomic import remove_file, write_text
from sedmtl.runtime.devices import choose_device
from sedmtl.runtime.disk_space import announce
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.lock import folder_lock
from sedmtl.runtime.origin import check_settings
from sedmtl.store import Store, check_mixing, write_scores
from sedmtl.training import tensorboard as curves
from sedmtl.training.config import TrainConfig, build_network
from sedmtl.training.finalize import conclude
from sedmtl.training.grid import launch
from sedmtl.training.job import TrainOptions, job_commands
from sedmtl.training.loop import Trainer, enough_memory, open_trainer
from sedmtl.training.run_folder import begin, folders_of, is_done, settings_of
from sedmtl.training.split import split_rows, weakness
from sedmtl.training.tasks import arrays_of

WEIGHT_COPIES = 11
"""How many a run folder holds at most: the state has the weights, Adam's two means and two best
epochs, twice while it is replaced; and the model."""


def train(project: Config, configs: Sequence[TrainConfig], options: TrainOptions) -> list[Path]:
    """Train every run; finished ones are skipped.

    Several GPUs share one run, or train one run of a grid each.

    Returns:
        The run folders; none if other processes trained a single run, and so named it.

    Raises:
        SedmtlError: A run could not be trained. Those of a grid that could are finished first.
    """
    choose_device(options.n_gpus)
    if options.tensorboard:
        curves.summary_writer()  # it is there, before there is a folder
    n_gpus = options.n_gpus or 0
    if len(configs) == 1:
        if n_gpus < 2 or distributed.world_size() > 1:
            return [train_one(project, configs[0], options)]
        with job_commands(configs, replace(options, n_gpus=None)) as (command,):
            launch.launch(command, n_gpus)
        return []
    if distributed.world_size() > 1:
        raise SedmtlError(
            f"processes that train together train one run, and this grid has {len(configs)}: "
            "without torchrun, --gpus gives each GPU a run"
        )
    runs = folders_of(project.work_dir, configs, options.run_name)
    for data in {config.data for config in configs}:
        with Store(project.work_dir / "features" / f"{data}.h5", "logmel"):
            pass  # it is there, and whole enough to open
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
    """Train a grid in this process; returns why runs failed."""
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
    """Train a grid with one process per GPU; returns why runs failed."""
    n_gpus = min(options.n_gpus or 1, len(of_runs))
    progress.say(f"{len(of_runs)} runs, {n_gpus} at a time; each one writes its own train.log")
    with job_commands(list(of_runs.values()), replace(options, n_gpus=1)) as commands:
        by_run = dict(zip(of_runs, commands, strict=True))
        return launch.run_grid(by_run, launch.gpu_environments(n_gpus))


def train_one(project: Config, config: TrainConfig, options: TrainOptions) -> Path:
    """Train one network with one fold held out.

    Args:
        project: Its data.yaml, which says where stores and runs are.
        config: What to train.
        options: How to run.

    Returns:
        The run folder.

    Raises:
        SedmtlError: The fold does not exist, the run folder holds something else, a batch has
            fewer clips than there are processes, or training diverges.
    """
    device = choose_device(options.n_gpus)
    if config.batch_size < distributed.world_size():
        raise SedmtlError(
            f"--batch-size {config.batch_size} is too small for {distributed.world_size()} "
            "processes: each takes its part of every batch"
        )
    (run,) = folders_of(project.work_dir, [config], options.run_name)
    store_path = project.work_dir / "features" / f"{config.data}.h5"
    with enough_memory(config), Store(store_path, "logmel", *arrays_of(config)) as store:
        _check_features(store, project)
        # Whatever is wrong with the request is found before there is a folder, and a finished run
        # before its features are read.
        split_rows(store.clips, config.fold)
        settings = settings_of(config, store, count_parameters(build_network(config, store)))
        with folder_lock(run, "sedmtl train") if distributed.rank() == 0 else nullcontext():
            _train(run, config, options, settings, store, device)
    return run


def _check_features(store: Store, project: Config) -> None:
    """Refuse features of other settings than those of data.yaml."""
    sizes = {"sample_rate": project.mixing.sample_rate, "n_samples": project.mixing.n_samples}
    wanted = {**project.features.model_dump(), **sizes}
    check_settings(store.path, store.attributes, wanted, "sedmtl features")
    if store.path.stem != "clips":
        mixing = project.model_dump(mode="json")["mixing"]
        remake = "sedmtl mix' and 'sedmtl features"
        check_mixing(store, mixing, remake)


def _train(
    run: Path,
    config: TrainConfig,
    options: TrainOptions,
    settings: Mapping[str, Any],
    store: Store,
    device: torch.device,
) -> None:
    """Train in a folder that no other command writes into."""
    force, resume = options.force, options.resume
    if not force and distributed.first(lambda: is_done(run, settings, resume=resume)):
        progress.say(f"{run} is finished already (--force trains it anew)")
        return
    # Before --force deletes anything.
    distributed.first(lambda: _ask_disk(run, config, settings["n_parameters"], store))
    distributed.first(lambda: begin(run, settings, force=force))
    trainer = open_trainer(config, store, device)
    # The first process reads it for all: the others may be on machines without this folder.
    state = distributed.first(lambda: load_state(run) if (run / "last.pt").is_file() else None)
    if state is not None:
        trainer.restore(state)
    _announce(run, trainer, settings["n_parameters"], device)
    doubt = weakness(trainer.split, store.clips, store.classes)
    if doubt:
        progress.say(f"warning: {doubt}")
    draw = options.draw if options.tensorboard else None
    with curves.follow(run, trainer, store, draw) as add_to_curves:
        _run_epochs(run, trainer, add_to_curves)
    distributed.first(lambda: _finish(run, settings, trainer, store))


def _ask_disk(run: Path, config: TrainConfig, n_parameters: int, store: Store) -> None:
    n_held_out = int((store.clips.fold == config.fold).sum())
    n_frames = store.row_shape[0] // config.network.time_stride
    n_frame_scores = n_held_out * len(store.classes) * n_frames
    n_bytes = WEIGHT_COPIES * 4 * n_parameters + 2 * n_frame_scores
    announce(f"{config.epochs} epochs", n_bytes, run)


def _announce(run: Path, trainer: Trainer, n_parameters: int, device: torch.device) -> None:
    """Print what is about to be trained."""
    config, split = trainer.config, trainer.split
    done = f", going on after epoch {len(trainer.history)}" if trainer.history else ""
    n_processes = distributed.world_size()
    where = f"{n_processes} x {device.type}" if n_processes > 1 else device.type
    progress.say(
        f"{run.name}: {n_parameters:,} parameters, {config.precision} on {where}; "
        f"{len(split.train)} clips to train on, {len(split.validation)} for inner validation, "
        f"{len(split.held_out)} held out{done}"
    )


def _run_epochs(run: Path, trainer: Trainer, add_to_curves: curves.Add) -> None:
    n_clips = sum(len(rows) for rows in trainer.split)
    n_epochs, n_done = trainer.config.epochs, len(trainer.history)
    started = time.monotonic()
    with progress.progress("training", n_epochs * n_clips, n_done * n_clips, log=False) as advance:
        for record in trainer.fit(advance):
            distributed.first(lambda: _save_epoch(run, trainer, add_to_curves))
            per_epoch = (time.monotonic() - started) / (record["epoch"] - n_done)
            progress.say(_epoch_line(record, n_epochs, per_epoch))


def _save_epoch(run: Path, trainer: Trainer, add_to_curves: curves.Add) -> None:
    add_to_curves(trainer.history[-1])
    lines = [json.dumps(each) for each in trainer.history]
    write_text(run / "metrics.jsonl", "\n".join([*lines, ""]))
    # Last: an epoch whose state is not there is trained again, and its line written again.
    save_state(run, trainer.state())


def _epoch_line(record: Mapping[str, Any], n_epochs: int, seconds: float) -> str:
    held_out, validation = record["held_out"], record["validation"]
    left = progress.duration(seconds * (n_epochs - record["epoch"]))
    return (
        f"epoch {record['epoch']:>3}/{n_epochs}  loss {record['loss']:.4f}  "
        f"validation micro-P {validation['micro_p']:.3f}  held out micro-P "
        f"{held_out['micro_p']:.3f} macro-P {held_out['macro_p']:.3f} AUC {held_out['auc']:.3f}  "
        f"{left} left"
    )


def _finish(run: Path, settings: Mapping[str, Any], trainer: Trainer, store: Store) -> None:
    """Write what others read: scores, card, and last of all the weights."""
    card, scores = conclude(trainer, store)
    # Those of fewer epochs, which do not fit what is written now.
    remove_file(run / "model.safetensors")
    write_run(run, settings)
    write_scores(run / "scores.h5", scores)
    save_model(run, card, trainer.best["honest"].weights)
