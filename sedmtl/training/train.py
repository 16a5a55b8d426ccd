"""Trains one run: a feature store -> a run folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sedmtl.config import Config
from sedmtl.inference.checkpoint import save_model
from sedmtl.inference.runs import n_epochs_done, read_run, write_run
from sedmtl.models import count_parameters
from sedmtl.runtime import distributed, progress
from sedmtl.runtime.atomic import remove_file, write_text
from sedmtl.runtime.devices import choose_device
from sedmtl.runtime.disk_space import announce
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.lock import folder_lock
from sedmtl.runtime.origin import check_settings
from sedmtl.runtime.text import counted
from sedmtl.store import Store, check_mixing, write_scores
from sedmtl.training import tensorboard as curves
from sedmtl.training.config import TrainConfig, build_network
from sedmtl.training.cost import choose_micro_batch, measure_cost, source_bytes
from sedmtl.training.finalize import conclude
from sedmtl.training.job import TrainOptions
from sedmtl.training.loop import Trainer
from sedmtl.training.memory import enough_memory
from sedmtl.training.pretrained import (
    Pretrained,
    count_seen,
    describe_seen,
    read_pretrained,
    write_seen,
)
from sedmtl.training.run import OnEpoch, is_last
from sedmtl.training.run_folder import (
    begin,
    check_corpora,
    folders_of,
    is_done,
    known_settings,
    settings_of,
)
from sedmtl.training.split import weakness
from sedmtl.training.start import check_targets, open_trainer, stored_arrays
from sedmtl.training.state import load_state, save_state
from sedmtl.training.workload import Workload

WEIGHT_COPIES = 11
"""Most copies of the weights that a run folder holds: the state has the weights, Adam's two moments
and two best epochs, twice while it is being replaced; plus the model."""

Start = tuple[Pretrained | None, dict[str, Any]]
"""The parent run, if any, and its entries in run.yaml."""


def train_one(project: Config, config: TrainConfig, options: TrainOptions) -> Path:
    """Train one network with one fold held out, or none.

    Args:
        project: The project, which has the stores and runs.
        config: The run.
        options: How to run the training.

    Returns:
        The run folder.

    Raises:
        SedmtlError: The fold does not exist, the folder holds another run, a batch has fewer clips
            than there are processes, or training diverges.
    """
    device = choose_device(options.n_gpus)
    if config.batch_size < distributed.world_size():
        raise SedmtlError(
            f"--batch-size {config.batch_size} is too small for {distributed.world_size()} "
            "processes: each takes its part of every batch"
        )
    (run,) = folders_of(project.work_dir, [config], options.run_name)
    store_path = project.work_dir / "features" / f"{config.data}.h5"
    stored_arrays(config)  # refuse tasks that need stems of recordings before opening the store
    with enough_memory(config), Store(store_path, "logmel", *config.network.inputs) as store:
        check_targets(config, store)
        _check_features(store, project)
        # Check the request before creating a folder, and detect a finished run before reading
        # its features.
        load = Workload.of_store(store, config.fold)
        if options.fit_memory:
            known = distributed.first(lambda: known_settings(run, force=options.force))
            n_at_once = (
                choose_micro_batch(config, load, device, source_bytes(project, config, device))
                if known is None
                else known.get("micro_batch")
            )
            config = replace(config, micro_batch=n_at_once)
        settings = settings_of(config, store, count_parameters(build_network(config, store)))
        start = None
        if not distributed.first(run.is_dir):
            start = _pretrained(run, config, store, project, force=options.force)
        with folder_lock(run, "sedmtl train") if distributed.rank() == 0 else nullcontext():
            _train(run, config, options, settings, store, device, project, start)
    return run


def _check_features(store: Store, project: Config) -> None:
    """Refuse features made with other settings than those of data.yaml."""
    sizes = {"sample_rate": project.mixing.sample_rate, "n_samples": project.mixing.n_samples}
    wanted = {**project.features.logmel, **sizes}
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
    project: Config,
    start: Start | None,
) -> None:
    """Train in a locked folder; `start` is the parent if it was read before locking."""
    force, resume = options.force, options.resume
    if not force and distributed.first(lambda: is_done(run, settings, resume=resume)):
        progress.say(f"{run} is already finished (--force retrains it)")
        return
    pretrained, seen = start or _pretrained(run, config, store, project, force=force)
    settings = {**settings, **seen}
    trainer = open_trainer(config, store, device, project, pretrained)
    made_of: dict[str, Any] = {"scenes": list(trainer.scenes)} if trainer.scenes else {}
    if trainer.remixer is not None and trainer.remixer.digest:
        made_of["sources"] = trainer.remixer.digest
    settings = {**settings, **made_of}
    if not force:
        distributed.first(lambda: check_corpora(run, made_of))
    n_left = config.epochs - (0 if force else n_epochs_done(run))
    if distributed.world_size() == 1:
        load = Workload.of_store(store, config.fold)
        cost = measure_cost(config, load, device)
        length = progress.duration(n_left * cost.epoch_s(config, load))
        progress.say(
            f"{run.name}: {counted(n_left, 'epoch')}, about {length} and "
            f"{progress.size_text(cost.n_bytes(load, config.n_at_once))} of memory"
        )
    # Before --force deletes anything.
    distributed.first(lambda: _ask_disk(run, config, settings["n_parameters"], store))
    distributed.first(lambda: begin(run, settings, force=force))
    # Process 0 reads it for all: the others may be on machines without this folder.
    state = distributed.first(lambda: load_state(run) if (run / "last.pt").is_file() else None)
    if state is not None:
        trainer.restore(state, run / "last.pt")
    else:
        drawn = trainer.remixer.recordings if trainer.remixer else frozenset[str]()
        clips = trainer.split.training_folds
        distributed.first(lambda: write_seen(run, store, clips, drawn, pretrained))
    _announce(trainer, settings["n_parameters"], device)
    doubts = weakness(trainer.split, store.clips, store.classes), describe_seen(settings, run.name)
    for doubt in filter(None, doubts):
        progress.say(f"warning: {doubt}")
    draw = options.draw if options.tensorboard else None
    with curves.follow(run, trainer, store, draw) as add_to_curves:
        _run_epochs(run, trainer, add_to_curves, options.on_epoch)
    if len(trainer.history) < config.epochs:
        settings = {**settings, "stopped_after": len(trainer.history)}
    distributed.first(lambda: _finish(run, settings, trainer, store))


def _pretrained(
    run: Path, config: TrainConfig, store: Store, project: Config, *, force: bool
) -> Start:
    """The parent run and its entries in run.yaml; process 0 reads for all.

    A resumed run no longer needs its parent.
    """
    if config.parent is None:
        return None, {}
    if distributed.first(lambda: (run / "last.pt").is_file() and not force):
        known = distributed.first(lambda: read_run(run))
        return None, {key: known.get(key) for key in ("from_sha256", "n_seen")}
    runs_dir = project.work_dir / "runs"
    found = distributed.first(lambda: read_pretrained(runs_dir, config, store))
    return found, {"from_sha256": found.digest, "n_seen": count_seen(found, store, config.fold)}


def _ask_disk(run: Path, config: TrainConfig, n_parameters: int, store: Store) -> None:
    held_out, _ = store.clips.rows_of(np.flatnonzero(store.clips.fold == config.fold))
    n_frames = store.row_shape[0] // config.network.time_stride
    n_frame_scores = len(held_out) * len(store.classes) * n_frames
    n_bytes = WEIGHT_COPIES * 4 * n_parameters + 2 * n_frame_scores
    announce(counted(config.epochs, "epoch"), n_bytes, run)


def _announce(trainer: Trainer, n_parameters: int, device: torch.device) -> None:
    config, split = trainer.config, trainer.split
    done = f", continuing after epoch {len(trainer.history)}" if trainer.history else ""
    n_processes = distributed.world_size()
    where = f"{n_processes} x {device.type}" if n_processes > 1 else device.type
    progress.say(
        f"{n_parameters:,} parameters, {config.precision} on {where}; "
        f"{len(split.train)} clips to train on, {len(split.validation)} for inner validation, "
        f"{len(split.held_out)} held out{done}"
    )


def _run_epochs(
    run: Path, trainer: Trainer, add_to_curves: curves.Add, on_epoch: OnEpoch | None
) -> None:
    split = trainer.split
    n_clips = trainer.n_clips + sum(map(trainer.n_rows, split.scored.values()))
    n_epochs, n_done = trainer.config.epochs, len(trainer.history)

    def ends(record: Mapping[str, Any]) -> bool:
        return is_last(record, n_epochs, on_epoch)

    # Replay past epochs: `on_epoch` lost its state, and may not have been called with the last.
    if distributed.first(lambda: any(map(ends, trainer.history))):
        return
    started = time.monotonic()
    total, done = n_epochs * n_clips, n_done * n_clips
    what = f"training, {counted(n_epochs, 'epoch')} of {counted(n_clips, 'clip')}"
    with progress.progress(what, total, done, unit="clips", log=False) as advance:
        for record in trainer.fit(advance):
            distributed.first(lambda: _save_epoch(run, trainer, add_to_curves))
            per_epoch = (time.monotonic() - started) / (record["epoch"] - n_done)
            progress.say(_epoch_line(record, n_epochs, per_epoch))
            if distributed.first(partial(ends, record)):
                break


def _save_epoch(run: Path, trainer: Trainer, add_to_curves: curves.Add) -> None:
    add_to_curves(trainer.history[-1])
    lines = [json.dumps(each) for each in trainer.history]
    write_text(run / "metrics.jsonl", "\n".join([*lines, ""]))
    # Last: if the state is missing, the epoch is trained again and its line rewritten.
    save_state(run, trainer.state())


def _epoch_line(record: Mapping[str, Any], n_epochs: int, seconds: float) -> str:
    validation, held_out = record["validation"], ""
    if "held_out" in record:
        reported = record["held_out"]
        held_out = (
            f"held out micro-P {reported['micro_p']:.3f} macro-P {reported['macro_p']:.3f} "
            f"AUC {reported['auc']:.3f}  "
        )
    left = progress.duration(seconds * (n_epochs - record["epoch"]))
    return (
        f"epoch {record['epoch']:>3}/{n_epochs}  loss {record['loss']:.4f}  "
        f"validation micro-P {validation['micro_p']:.3f}  {held_out}{left} left"
    )


def _finish(run: Path, settings: Mapping[str, Any], trainer: Trainer, store: Store) -> None:
    """Write the results: scores, card and, last, the weights."""
    card, scores = conclude(trainer, store)
    if "from_sha256" in settings:
        card = replace(card, training={**card.training, "from_sha256": settings["from_sha256"]})
    # Weights of fewer epochs, which would not match the files written next.
    remove_file(run / "model.safetensors")
    write_run(run, settings)
    if scores is not None:
        write_scores(run / "scores.h5", scores)
    save_model(run, card, trainer.best["honest"].weights)
