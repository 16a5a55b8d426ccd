"""`sedmtl train`: a feature store -> a run folder."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import sedmtl
from sedmtl import progress
from sedmtl.checkpoint import (
    ModelCard,
    load_state,
    read_run,
    save_model,
    save_state,
    write_run,
)
from sedmtl.config import Config
from sedmtl.dataset import Split, batches, split_rows
from sedmtl.errors import SedmtlError
from sedmtl.files import write_text
from sedmtl.logmel import Standardiser
from sedmtl.models import build_model, count_parameters
from sedmtl.stores import HeldOutScores, Store, write_scores
from sedmtl.training import SELECTIONS, Recipe, Trainer, choose_device

FEATURE_KEYS = ("window", "hop", "n_mels", "f_min", "f_max")


@dataclass(frozen=True)
class TrainOptions:
    """How to run, as against what.

    Attributes:
        run_name: Name of the run folder, for a single run; by default the recipe's.
        n_gpus: None for the GPU if there is one.
        resume: Go on with an interrupted run. The runs of a grid always do.
        force: Throw away what is in the run folder.
    """

    run_name: str | None = None
    n_gpus: int | None = None
    resume: bool = False
    force: bool = False


def train(config: Config, recipes: Sequence[Recipe], options: TrainOptions) -> list[Path]:
    """Train every recipe, one after the other; finished runs are skipped.

    Returns:
        The run folders.

    Raises:
        SedmtlError: A run could not be trained. Those of a grid that could are finished first.
    """
    if len(recipes) == 1:
        return [train_one(config, recipes[0], options)]
    if options.run_name:
        raise SedmtlError(f"--name is for a single run: this grid has {len(recipes)}")
    stores = {recipe.data: config.work_dir / "features" / f"{recipe.data}.h5" for recipe in recipes}
    for path in stores.values():
        Store(path, "logmel", "sedmtl features").__exit__()
    runs, failed = [], []
    for number, recipe in enumerate(recipes, start=1):
        progress.say(f"run {number} of {len(recipes)}")
        try:
            runs.append(train_one(config, recipe, replace(options, resume=True)))
        except SedmtlError as error:
            progress.say(f"failed: {error}")
            failed.append(f"{recipe.name} ({error})")
    if failed:
        raise SedmtlError(f"{len(failed)} of {len(recipes)} runs failed: {'; '.join(failed)}")
    return runs


def train_one(config: Config, recipe: Recipe, options: TrainOptions) -> Path:
    """Train one network with one fold held out.

    Args:
        config: Of the project; says where stores and runs are.
        recipe: What to train, and how.
        options: How to run.

    Returns:
        The run folder.

    Raises:
        SedmtlError: The fold does not exist, the run folder holds something else, or training
            diverges.
    """
    device = choose_device(options.n_gpus)
    run = config.work_dir / "runs" / (options.run_name or recipe.name)
    store_path = config.work_dir / "features" / f"{recipe.data}.h5"
    with Store(store_path, "logmel", "sedmtl features") as store:
        split = split_rows(store.clips.fold, recipe.fold, recipe.seed)
        torch.manual_seed(recipe.seed)
        network = _build(recipe, store)
        settings = _settings(recipe, store, count_parameters(network))
        if not _prepare_folder(run, settings, options.resume, options.force):
            progress.say(f"{run} is finished already (--force trains it anew)")
            return run
        standardiser = Standardiser.fit(
            store.read(rows) for rows in batches(split.training_folds, 256)
        )
        trainer = Trainer(
            network, standardiser, store.read, store.clips.target, split, recipe, device
        )
        if (run / "last.pt").is_file():
            trainer.restore(load_state(run))
        _announce(run, trainer, settings["n_parameters"], device)
        _run_epochs(run, trainer)
        _finish(run, trainer, store)
    return run


def _build(recipe: Recipe, store: Store) -> nn.Module:
    n_frames, n_mels = store.row_shape
    return build_model(
        recipe.model,
        len(store.classes),
        n_frames,
        n_mels,
        recipe.width,
        recipe.attention,
        recipe.reconstruction,
    )


def _settings(recipe: Recipe, store: Store, n_parameters: int) -> dict[str, Any]:
    """Content of `run.yaml`."""
    return {
        **asdict(recipe),
        "n_parameters": n_parameters,
        "sedmtl_version": sedmtl.__version__,
        "torch_version": str(torch.__version__),
        "store_digest": store.attributes.get("digest", ""),
        "config": store.attributes.get("config", ""),
    }


def _prepare_folder(run: Path, settings: Mapping[str, Any], resume: bool, force: bool) -> bool:
    """Make the run folder ready; False if there is nothing left to train."""
    if force and run.is_dir():
        shutil.rmtree(run)
    if (run / "run.yaml").is_file():
        _check_same_run(run, settings)
        if (run / "model.safetensors").is_file() and read_run(run)["epochs"] >= settings["epochs"]:
            return False
        if not resume and (run / "last.pt").is_file():
            raise SedmtlError(
                f"{run} stopped before epoch {settings['epochs']}: --resume goes on with it, "
                "--force starts it anew"
            )
    write_run(run, settings)
    return True


def _check_same_run(run: Path, settings: Mapping[str, Any]) -> None:
    """More epochs than before are welcome; anything else would be another run."""
    ignored = ("epochs", "torch_version", "sedmtl_version")
    before = read_run(run)
    changed = [
        f"{key} {before.get(key)}, now {value}" if "\n" not in str(value) else f"another {key}"
        for key, value in settings.items()
        if key not in ignored and before.get(key) != value
    ]
    if changed:
        raise SedmtlError(
            f"{run} was trained with {'; '.join(changed)}: give this run another --name, or "
            "--force to replace it"
        )


def _announce(run: Path, trainer: Trainer, n_parameters: int, device: torch.device) -> None:
    recipe, split = trainer.recipe, trainer.split
    done = f", going on after epoch {len(trainer.history)}" if trainer.history else ""
    progress.say(
        f"{run.name}: {n_parameters:,} parameters, {recipe.precision} on {device.type}; "
        f"{len(split.train)} clips to train on, {len(split.validation)} for inner validation, "
        f"{len(split.held_out)} held out{done}"
    )


def _run_epochs(run: Path, trainer: Trainer) -> None:
    n_clips = sum(len(rows) for rows in trainer.split)
    n_epochs, n_done = trainer.recipe.epochs, len(trainer.history)
    started = time.monotonic()
    with progress.progress("training", n_epochs * n_clips, n_done * n_clips, log=False) as advance:
        for record in trainer.fit(advance):
            save_state(run, trainer.state())
            lines = [json.dumps(each) for each in trainer.history]
            write_text(run / "metrics.jsonl", "\n".join([*lines, ""]))
            per_epoch = (time.monotonic() - started) / (record["epoch"] - n_done)
            progress.say(_epoch_line(record, n_epochs, per_epoch))


def _epoch_line(record: Mapping[str, Any], n_epochs: int, seconds: float) -> str:
    held_out, validation = record["held_out"], record["validation"]
    left = progress.duration(seconds * (n_epochs - record["epoch"]))
    return (
        f"epoch {record['epoch']:>3}/{n_epochs}  loss {record['loss']:.4f}  "
        f"validation micro-P {validation['micro_p']:.3f}  held out micro-P "
        f"{held_out['micro_p']:.3f} macro-P {held_out['macro_p']:.3f} AUC {held_out['auc']:.3f}  "
        f"{left} left"
    )


def _finish(run: Path, trainer: Trainer, store: Store) -> None:
    """Write what others read: scores, card, and last of all the weights."""
    rows = trainer.split.held_out
    write_scores(
        run / "scores.h5",
        HeldOutScores(
            classes=store.classes,
            name=[store.clips.name[row] for row in rows],
            target=store.clips.target[rows],
            prior=store.clips.target[trainer.split.training_folds].mean(axis=0).astype(np.float32),
            score={key: trainer.best[key].held_out_score.numpy() for key in SELECTIONS},
            epoch={key: trainer.best[key].epoch for key in SELECTIONS},
        ),
    )
    best = trainer.best["honest"]
    save_model(run, _card(trainer, store, trainer.split), best.weights)


def _card(trainer: Trainer, store: Store, split: Split) -> ModelCard:
    recipe, best = trainer.recipe, trainer.best["honest"]
    n_frames, n_mels = store.row_shape
    return ModelCard(
        model=recipe.model,
        attention=recipe.attention,
        reconstruction=recipe.reconstruction,
        width=recipe.width,
        n_frames=n_frames,
        n_mels=n_mels,
        classes=store.classes,
        sample_rate=store.attributes["sample_rate"],
        n_samples=store.attributes["n_samples"],
        features={key: store.attributes[key] for key in FEATURE_KEYS},
        mean=tuple(trainer.standardiser.mean.tolist()),
        std=tuple(trainer.standardiser.std.tolist()),
        training={
            **asdict(recipe),
            "n_train": len(split.train),
            "best_epoch": best.epoch,
            "validation_micro_p": best.micro_p,
        },
    )
