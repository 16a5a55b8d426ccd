"""`sedmtl.train`: one run from Python, by the same path as the command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, get_args

from sedmtl.config import Config, load_config
from sedmtl.models.registry import MODELS, settings_class
from sedmtl.runtime import distributed, progress
from sedmtl.runtime.errors import SedmtlError, suggest
from sedmtl.training import choices
from sedmtl.training.choices import Precision, Recipe, Schedule, Supervision
from sedmtl.training.grid.plan import NONE
from sedmtl.training.grid.request import requested_runs
from sedmtl.training.grid.runs import train_all
from sedmtl.training.job import TrainOptions
from sedmtl.training.recipe import RECIPES
from sedmtl.training.run import OnEpoch, Run
from sedmtl.training.tasks import weigh_tasks
from sedmtl.training.weights import Weight

CHOICES: dict[str, Iterable[str]] = {
    "recipe": get_args(Recipe),
    "model": MODELS,
    "schedule": get_args(Schedule),
    "supervision": get_args(Supervision),
    "precision": get_args(Precision),
}


def train(
    config: str | Path | Config = "data.yaml", *, fold: int | None, data: str | None = None,
    recipe: Recipe = "paper", model: str | None = None, alpha: Weight | None = None,
    tasks: Mapping[str, Weight | None] | None = None, epochs: int | None = None,
    batch_size: int | Literal["auto"] | None = None, lr: float | None = None,
    schedule: Schedule | None = None, remix: bool | None = None, supervision: Supervision = "weak",
    precision: Precision = "auto", from_run: str | Path | None = None,
    freeze_encoder: bool = False, class_weights: bool = False, balanced: bool = False,
    seed: int = 0, name: str | None = None, resume: bool = False, force: bool = False,
    gpus: int | None = None, on_epoch: OnEpoch | None = None, verbose: bool = False, **network: Any,
) -> Run:  # fmt: skip
    """Train one network, like `sedmtl train`; the arguments are its options.

    `resume=True` continues an interrupted run with identical results. Errors name the options.

    Args:
        config: The project, or its `data.yaml`; its features must exist.
        fold: The fold to hold out, from 1; None holds nothing out.
        data: Name of the feature store, if there are several: `snr_10`, `clips`.
        recipe: `paper` or `strong`: defaults of `model` to `remix`, except `tasks`.
        model: Name of the network.
        alpha: Weight of the task `reconstruct`, or the rule that sets it: `auto` or `dwa`.
        tasks: Weights of auxiliary tasks by name; None for a task's default.
        epochs: Passes over the training clips.
        batch_size: Clips per step; `auto`: the recipe's, split into parts that fit in memory.
        lr: Learning rate of Adam.
        schedule: Learning rate schedule: `plateau` or `cosine`.
        remix: Draw new mixtures in every epoch.
        supervision: `weak`; `strong` also trains on the known times of events.
        precision: `float32`, `bfloat16`; `auto` is bfloat16 where the hardware supports it.
        from_run: Name or path of a run to start from; classes are matched by name.
        freeze_encoder: Keep the encoder of `from_run` fixed.
        class_weights: Weight the clip loss so that positives and negatives of a class count alike.
        balanced: Draw every class about equally often.
        seed: Seed of the initial weights and the order of clips.
        name: Name of the run folder.
        resume: Continue an interrupted run.
        force: Delete the old run and start over.
        gpus: 1 or 0; by default a GPU if available.
        on_epoch: Called with each saved `Epoch`; on resume, first with the past ones. If it raises
            `StopTraining`, training ends there and the run is finalized; others propagate.
        verbose: Print the command's progress output to stderr.
        **network: Options of the network, such as `width=16`.

    Raises:
        SedmtlError: Arguments or data are invalid, the folder has another run, training diverges.
    """
    project = config if isinstance(config, Config) else load_config(Path(config))
    given = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "schedule": schedule,
             "remix": remix, "supervision": supervision, "from": from_run, "precision": precision,
             "freeze_encoder": freeze_encoder, "class_weights": class_weights,
             "balanced": balanced, "tasks": weigh_tasks(tasks or {})}  # fmt: skip
    _check({**given, "model": model, "fold": fold, "seed": seed, "gpus": gpus, "recipe": recipe})
    _check_network(model or RECIPES[recipe]["model"], network)
    with distributed.session(gpus), nullcontext() if verbose else progress.silence():
        grid = ([data], [model] if model else [], [] if alpha is None else [alpha], [seed])
        runs = requested_runs(project, recipe, given, network, *grid, [str(fold or NONE)], gpus)
        fit_memory = batch_size == choices.AUTO
        how = TrainOptions(name, gpus, resume, force, fit_memory=fit_memory, on_epoch=on_epoch)
        return Run(*train_all(project, runs, how))


def _check_network(model: str, options: Mapping[str, Any]) -> None:
    """Raise `SedmtlError` for an option that the network does not have."""
    known = settings_class(model).defaults()
    for option in options:
        if option not in known:
            raise SedmtlError(f"{model} has no option '{option}': {suggest(option, known)}")


def _check(asked: Mapping[str, Any]) -> None:
    """Raise `SedmtlError` for an argument that the command line would refuse."""
    for name, value in asked.items():
        wanted = _wanted(name, value)
        if value is not None and wanted:
            raise SedmtlError(f"{name} should be {wanted}, found {value!r}")
    if (asked["gpus"] or 0) > 1:
        raise SedmtlError("gpus should be 0 or 1: several GPUs take 'sedmtl train' or torchrun")


def _wanted(name: str, value: Any) -> str:
    """What a valid argument would be; empty if `value` is valid."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits, wanted = True, ""
    if name in CHOICES:
        fits, wanted = value in CHOICES[name], f"one of {', '.join(CHOICES[name])}"
    elif name in choices.LOWEST and (name, value) != ("batch_size", choices.AUTO):
        fits = is_number and isinstance(value, int) and value >= choices.LOWEST[name]
        wanted = f"a whole number from {choices.LOWEST[name]}"
    elif name == "lr":
        fits, wanted = is_number and choices.is_rate(value), choices.RATE_WANTED
    return "" if fits else wanted
