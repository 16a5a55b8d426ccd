"""How long a grid takes, measured on a few steps of each kind of run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sedmtl.config import Config
from sedmtl.inference.checkpoint import n_epochs_done
from sedmtl.runtime.progress import duration
from sedmtl.store import Store
from sedmtl.training.config import TrainConfig
from sedmtl.training.loop import Trainer, open_trainer
from sedmtl.training.run_folder import folders_of
from sedmtl.training.tasks import arrays_of

N_STEPS = 2
"""Steps that are timed, after one that is not."""


@dataclass(frozen=True)
class Forecast:
    """What is left of one run.

    Attributes:
        n_epochs_left: 0 of a finished run.
        seconds: For those epochs.
    """

    config: TrainConfig
    n_epochs_left: int
    seconds: float


def forecast(
    project: Config,
    configs: Sequence[TrainConfig],
    device: torch.device,
    run_name: str | None = None,
    *,
    force: bool = False,
) -> list[Forecast]:
    """Count the epochs left of each run, and time each kind of network on each store once.

    Args:
        project: Its data.yaml.
        configs: The runs.
        device: To train on.
        run_name: Name of the folder of a single run.
        force: Whether the run folders will be emptied.

    Raises:
        SedmtlError: A store, a fold or a network does not exist, or a grid is given one name.
    """
    runs = folders_of(project.work_dir, configs, run_name)
    epoch_seconds: dict[tuple[str, str, bool], float] = {}
    forecasts = []
    for config, run in zip(configs, runs, strict=True):
        n_left = max(0, config.epochs - (0 if force else n_epochs_done(run)))
        kind = (config.data, config.model, bool(config.tasks))
        if n_left > 0 and kind not in epoch_seconds:
            path = project.work_dir / "features" / f"{config.data}.h5"
            with Store(path, "logmel", *arrays_of(config)) as store:
                epoch_seconds[kind] = seconds_an_epoch(open_trainer(config, store, device, project))
        forecasts.append(Forecast(config, n_left, n_left * epoch_seconds.get(kind, 0.0)))
    return forecasts


def seconds_an_epoch(trainer: Trainer) -> float:
    """From `N_STEPS` steps and as many scored batches."""
    split, size = trainer.split, trainer.config.batch_size
    n_timed = N_STEPS * size
    trainer.network.train()
    for number, (_, losses) in enumerate(trainer.steps(np.resize(split.train, n_timed + size))):
        losses.cpu()  # waits for the GPU
        if number == 0:
            started = time.monotonic()
    trained = time.monotonic()
    trainer.score(np.resize(split.train, n_timed))
    scored = time.monotonic()
    n_scored = len(split.validation) + len(split.held_out)
    return ((trained - started) * len(split.train) + (scored - trained) * n_scored) / n_timed


def describe(forecasts: Sequence[Forecast], n_at_once: int) -> list[str]:
    """The plan as lines for people: a line a network, and the sum."""
    lines = []
    for model in dict.fromkeys(each.config.model for each in forecasts):
        of_model = [each for each in forecasts if each.config.model == model]
        n_to_do = sum(each.n_epochs_left > 0 for each in of_model)
        seconds = sum(each.seconds for each in of_model)
        lines.append(f"{model}: {n_to_do} of {len(of_model)} runs to do, {duration(seconds)}")
    total = sum(each.seconds for each in forecasts) / n_at_once
    n_to_do = sum(each.n_epochs_left > 0 for each in forecasts)
    at_once = f", {n_at_once} at once" if n_at_once > 1 else ""
    return [*lines, f"in all: {n_to_do} of {len(forecasts)} runs{at_once}, {duration(total)}"]
