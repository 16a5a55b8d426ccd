"""Plans the runs of a grid: every combination of data, network, weight, seed and fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from sedmtl.models.registry import MODELS, TABLE_IV, settings_class
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import folds_of
from sedmtl.training.config import TrainConfig
from sedmtl.training.split import NO_FOLD
from sedmtl.training.tasks import task_class
from sedmtl.training.weights import Weight

ALL, NONE = "all", "none"


def plan_runs(
    common: Mapping[str, Any],
    network: Mapping[str, Any],
    store_paths: Sequence[Path],
    models: Sequence[str],
    alphas: Sequence[str],
    seeds: Sequence[int],
    folds: Sequence[str],
    known_folds: Callable[[Path], list[int]] = folds_of,
) -> list[TrainConfig]:
    """Configurations of the runs, without duplicates, folds innermost.

    A network without a decoder is run once, with alpha 0. Options and tasks apply to the networks
    that have them.

    Args:
        common: Plain values that all runs share, such as epochs and tasks.
        network: Given network options, by name.
        store_paths: Feature stores.
        models: Names of networks; `all` stands for the paper's five.
        alphas: Weights of the reconstruction: numbers, or `auto`.
        seeds: Seeds.
        folds: Held-out folds; `all` stands for those of the store, `none` holds nothing out.
        known_folds: Returns the folds of a store.

    Raises:
        SedmtlError: A network does not exist, an option has an invalid value, none of the networks
            has an option or task, or two weights are so close that their runs would share a name.
    """
    names = [name for word in models for name in (TABLE_IV if word == ALL else [word])]
    _check_options(network, names)
    tasks = {name: _tasks_for(name, common.get("tasks", {})) for name in names}
    _check_tasks(common.get("tasks", {}), tasks)
    runs: dict[str, TrainConfig] = {}
    numbers = {path: _read_folds(folds, path, known_folds) for path in store_paths}
    for path in store_paths:
        for model, alpha, seed, fold in product(names, alphas, seeds, numbers[path]):
            chosen: dict[str, Any] = {"data": path.stem, "fold": fold, "seed": seed}
            chosen |= {"model": model, "alpha": alpha, "tasks": tasks[model]}
            if path.stem == "clips" and not common.get("remix_clips"):
                chosen["remix"] = None
            run = _run({**common, **network, **chosen})
            if runs.setdefault(run.name, run) != run:
                raise SedmtlError(
                    f"two of the requested runs would be named {run.name}: expected weights of "
                    "--alpha that differ in their first six digits"
                )
    return list(runs.values())


def _run(values: Mapping[str, Any]) -> TrainConfig:
    try:
        run = TrainConfig.of(values)
    except ValueError as error:
        raise SedmtlError(f"--model {values['model']}: {error}") from error
    if run.remix is not None and "frames" in run.network.inputs:
        raise SedmtlError(
            f"--remix makes new audio in every epoch, but {run.model} takes an encoder's frames "
            "of the stored audio: add --no-remix"
        )
    if run.freeze_encoder and not run.network.encoder_modules:
        raise SedmtlError(
            f"--freeze-encoder needs a network with its own encoder, and {run.model} has none "
            "(the encoder of its frames is always frozen): leave the option out"
        )
    return run


def _check_options(given: Mapping[str, Any], names: Sequence[str]) -> None:
    for option in given:
        if not any(option in settings_class(name).defaults() for name in names):
            having = [name for name in MODELS if option in settings_class(name).defaults()]
            raise SedmtlError(
                f"--{option.replace('_', '-')} is an option of {', '.join(having)}: "
                f"{', '.join(names)} {'have' if len(names) > 1 else 'has'} no such option"
            )


def _tasks_for(model: str, tasks: Mapping[str, Weight]) -> dict[str, Weight]:
    """The tasks that a network supports."""
    network = settings_class(model)
    return {name: weight for name, weight in tasks.items() if task_class(name).fits(network)}


def _check_tasks(asked: Mapping[str, Weight], tasks: Mapping[str, Mapping[str, Weight]]) -> None:
    for name in asked:
        if not any(name in of_model for of_model in tasks.values()):
            having = [n for n in MODELS if task_class(name).fits(settings_class(n))]
            raise SedmtlError(f"--task {name} is for {', '.join(having)}, found {', '.join(tasks)}")


def _read_folds(
    words: Sequence[str], store_path: Path, known_folds: Callable[[Path], list[int]]
) -> list[int]:
    known = known_folds(store_path) if ALL in words else []
    numbers = {ALL: known, NONE: [NO_FOLD]}
    return [fold for word in words for fold in numbers.get(word) or [int(word)]]
