"""Estimated training time of a grid, from timing each kind of network on noise."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch

from sedmtl.config import Config
from sedmtl.inference.runs import n_epochs_done
from sedmtl.runtime.devices import choose_device
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.free_memory import free_bytes
from sedmtl.runtime.progress import duration, size_text
from sedmtl.training.config import TrainConfig
from sedmtl.training.cost import Cost, choose_micro_batch, measure_cost, source_bytes
from sedmtl.training.grid.planned import needed_data, workloads
from sedmtl.training.job import TrainOptions
from sedmtl.training.run_folder import folders_of, is_trained, known_settings
from sedmtl.training.workload import Workload


def outlook(project: Config, configs: Sequence[TrainConfig], options: TrainOptions) -> list[str]:
    """Lines of `train --dry-run`: the forecast (see `describe`), and data still to be made."""
    n_gpus, fit_memory = options.n_gpus, options.fit_memory
    how = {"force": options.force, "fit_memory": fit_memory}
    found = forecast(project, configs, choose_device(n_gpus), options.run_name, **how)
    return [*describe(found, n_gpus, fit_memory=fit_memory), *needed_data(project, configs)]


@dataclass(frozen=True)
class Forecast:
    """Estimate of what is left to do of one run.

    Attributes:
        config: The run.
        n_epochs_left: Epochs left; 0 if it is finished.
        seconds: Time for those epochs.
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
    fit_memory: bool = False,
) -> list[Forecast]:
    """Count the epochs left in each run, and time each kind of network once.

    Args:
        project: The project; sizes of stores that do not exist yet follow from its settings.
        configs: The runs.
        device: Device to train on.
        run_name: Name of the folder of a single run.
        force: Whether the run folders will be emptied.
        fit_memory: Whether to split batches that do not fit in memory.

    Raises:
        SedmtlError: A fold or network does not exist, or several runs are given one name.
    """
    runs = folders_of(project.work_dir, configs, run_name)
    loads: dict[str, dict[int, Workload]] = {}
    costs: dict[Hashable, Cost] = {}
    micro_batches: dict[Hashable, int | None] = {}
    forecasts = []
    for config, run in zip(configs, runs, strict=True):
        n_left = max(0, config.epochs - (0 if force else n_epochs_done(run)))
        if not n_left or (is_trained(run, config.epochs) and not force):
            forecasts.append(Forecast(config, 0, 0.0))
            continue
        if config.data not in loads:
            of_data = [each for each in configs if each.data == config.data]
            loads[config.data] = workloads(project, config.data, of_data)
        load = loads[config.data][config.fold]
        if fit_memory:
            known = known_settings(run, force=force)
            config = _fitted(project, config, known, load, device, micro_batches)
        parts = (tuple(config.tasks), config.freeze_encoder, config.n_at_once)
        kind = (config.network, parts, load.sizes)
        if kind not in costs:
            costs[kind] = measure_cost(config, load, device)
        seconds = n_left * costs[kind].epoch_s(config, load)
        forecasts.append(
            Forecast(config, n_left, seconds, costs[kind].n_bytes(load, config.n_at_once))
        )
    return forecasts


def _fitted(
    project: Config,
    config: TrainConfig,
    known: Mapping[str, Any] | None,
    load: Workload,
    device: torch.device,
    micro_batches: dict[Hashable, int | None],
) -> TrainConfig:
    """The config with the micro-batch that training chose or would choose; cached per kind."""
    if known is not None:
        return replace(config, micro_batch=known.get("micro_batch"))
    parts = (tuple(config.tasks), config.freeze_encoder, config.batch_size)
    kind = (config.network, parts, load.sizes, load.n_windows)
    if kind not in micro_batches:
        n_bytes = 0
        with suppress(SedmtlError):  # the corpora may not exist yet
            n_bytes = source_bytes(project, config, device)
        micro_batches[kind] = choose_micro_batch(config, load, device, n_bytes)
    return replace(config, micro_batch=micro_batches[kind])


def describe(
    forecasts: Sequence[Forecast], n_gpus: int | None, *, fit_memory: bool = False
) -> list[str]:
    """The forecast as readable lines: one per network, and the total."""
    lines, n_at_once = [], max(n_gpus or 1, 1)
    advice = "a smaller --width needs less" if fit_memory else "use --batch-size auto"
    free = free_bytes(choose_device(n_gpus))
    for model in dict.fromkeys(each.config.model for each in forecasts):
        of_model = [each for each in forecasts if each.config.model == model]
        n_to_do = sum(each.n_epochs_left > 0 for each in of_model)
        seconds = sum(each.seconds for each in of_model)
        memory = max(each.n_bytes for each in of_model)
        lines.append(
            f"{model}: {n_to_do} of {len(of_model)} runs to do, {duration(seconds)}"
            + (f", {size_text(memory)} of memory" if memory else "")
            + (f", but {size_text(free)} is free: {advice}" * (memory > free))
        )
    total = sum(each.seconds for each in forecasts) / n_at_once
    n_to_do = sum(each.n_epochs_left > 0 for each in forecasts)
    at_once = f", {n_at_once} at once" if n_at_once > 1 else ""
    return [*lines, f"total: {n_to_do} of {len(forecasts)} runs{at_once}, {duration(total)}"]
