"""How long a grid takes, measured on a few clips with each kind of run."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch

from sedmtl.config import Config
from sedmtl.inference.checkpoint import n_epochs_done
from sedmtl.runtime.progress import duration, size_text
from sedmtl.store import Store
from sedmtl.training.config import TrainConfig
from sedmtl.training.cost import Cost, measure_cost
from sedmtl.training.run_folder import folders_of
from sedmtl.training.start import open_trainer
from sedmtl.training.tasks import arrays_of


@dataclass(frozen=True)
class Forecast:
    """What is left of one run.

    Attributes:
        n_epochs_left: 0 of a finished run.
        seconds: For those epochs.
        n_bytes: Memory for weights and activations.
    """

    config: TrainConfig
    n_epochs_left: int
    seconds: float
    n_bytes: int = 0


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
    costs: dict[Hashable, Cost] = {}
    forecasts = []
    for config, run in zip(configs, runs, strict=True):
        n_left = max(0, config.epochs - (0 if force else n_epochs_done(run)))
        kind = (config.data, config.network, bool(config.tasks), config.schedule, config.remix)
        if n_left > 0 and kind not in costs:
            path = project.work_dir / "features" / f"{config.data}.h5"
            # Without the project: new mixtures take a step no more time, and decoding their sources
            # would take minutes.
            with Store(path, "logmel", *arrays_of(config)) as store:
                costs[kind] = measure_cost(open_trainer(config, store, device))
        cost = costs.get(kind, Cost(0.0, 0)) if n_left else Cost(0.0, 0)
        forecasts.append(Forecast(config, n_left, n_left * cost.epoch_s, cost.n_bytes))
    return forecasts


def describe(forecasts: Sequence[Forecast], n_at_once: int) -> list[str]:
    """The plan as lines for people: a line a network, and the sum."""
    lines = []
    for model in dict.fromkeys(each.config.model for each in forecasts):
        of_model = [each for each in forecasts if each.config.model == model]
        n_to_do = sum(each.n_epochs_left > 0 for each in of_model)
        seconds = sum(each.seconds for each in of_model)
        memory = max(each.n_bytes for each in of_model)
        lines.append(
            f"{model}: {n_to_do} of {len(of_model)} runs to do, {duration(seconds)}"
            + (f", {size_text(memory)} of memory" if memory else "")
        )
    total = sum(each.seconds for each in forecasts) / n_at_once
    n_to_do = sum(each.n_epochs_left > 0 for each in forecasts)
    at_once = f", {n_at_once} at once" if n_at_once > 1 else ""
    return [*lines, f"in all: {n_to_do} of {len(forecasts)} runs{at_once}, {duration(total)}"]
