"""Builds a trainer from a feature store."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch

from sedmtl.config import Config
from sedmtl.features.targets import TARGETS
from sedmtl.logmel import Standardiser
from sedmtl.models.heads import Sizes
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import RowArray, Rows, Store, batches, n_bytes_of
from sedmtl.training.bags import Bags
from sedmtl.training.batches import BatchLoader, ReadRows, fits
from sedmtl.training.config import TrainConfig, build_network
from sedmtl.training.known import PRESENCE, Knowledge, known_arrays
from sedmtl.training.loop import Trainer
from sedmtl.training.pretrained import Pretrained, adopt, adopt_heads
from sedmtl.training.remix import open_remixer
from sedmtl.training.split import split_rows
from sedmtl.training.tasks import arrays_of, build_tasks, heads_of, task_class


def open_trainer(
    config: TrainConfig,
    store: Store,
    device: torch.device,
    project: Config | None = None,
    pretrained: Pretrained | None = None,
) -> Trainer:
    """Build a trainer: split the rows, fit the standardisers, initialise the network.

    Args:
        config: The run.
        store: The training store.
        device: Device to train on.
        project: Has the corpora that `remix` draws from.
        pretrained: Provides initial weights and standardisers.

    Raises:
        SedmtlError: The fold or network does not exist, there is nothing to remix, a task lacks
            the labels it needs, or the pretrained weights do not fit.
    """
    split = split_rows(store.clips, config.fold)
    network = build_network(config, store)
    # The card always includes the log-mel's standardiser, for pictures.
    inputs = tuple(dict.fromkeys(("logmel", *config.network.inputs)))
    if pretrained is None:
        rows, _ = store.clips.rows_of(split.training_folds)
        standardisers = {name: fit_standardiser(store, rows, name) for name in inputs}
    else:
        adopt(network, pretrained, config, store)
        standardisers = {name: pretrained.card.build_standardiser(name) for name in inputs}
    target, n_rows = store.clips.target, store.clips.n_rows
    windows = store.clips.windows
    knowledge = Knowledge.of_store(_asked(config), store, split.training_folds, project)
    reads: dict[str, ReadRows] = {
        name: partial(store.read, array=name)
        for name in (*config.network.inputs, *stored_arrays(config))
    }
    reads |= knowledge.of(store.clips.events, store.clips.scene, windows)
    n_bytes = resident_bytes(config, store.row_arrays, len(store.classes), n_rows)
    is_resident = fits(n_bytes, device)
    loader = BatchLoader(reads, target, device, resident=is_resident, n_rows=n_rows)
    remixer = None
    if config.remix is not None and project is not None:
        targets = targets_of(config)
        remixer = open_remixer(project, config, store, split, device, knowledge, targets)
    n_frames, n_mels = store.row_shape
    sizes = Sizes(len(store.classes), n_frames, n_mels, knowledge.scenes)
    tasks = build_tasks(config.tasks, config.network, sizes)
    if pretrained is not None:
        adopt_heads(heads_of(tasks), pretrained, config, store.classes, sizes)
    bags = None if windows is None else Bags(windows, target, config.seed, device)
    return Trainer(
        network, tasks, standardisers, loader, target, split, config, device, remixer, bags
    )


def resident_bytes(
    config: TrainConfig, arrays: Mapping[str, RowArray], n_classes: int, n_rows: int
) -> int:
    """Bytes that a run reads from its store; a GPU with enough room keeps them all.

    Args:
        config: The run.
        arrays: The store's arrays.
        n_classes: C.
        n_rows: Rows of the store.
    """
    known = known_arrays(n_classes, arrays["logmel"].row_shape[0])
    names = (*config.network.inputs, *stored_arrays(config), *(known.keys() & _asked(config)))
    every = {**arrays, **known}
    return n_bytes_of({name: every[name] for name in names}, n_rows)


def stored_arrays(config: TrainConfig) -> tuple[str, ...]:
    """Task target arrays that a run reads from its store; empty with `remix`, which makes them.

    Raises:
        SedmtlError: A task does not exist, or needs stems, which unmixed recordings do not have.
    """
    return () if config.remix else targets_of(config)


def targets_of(config: TrainConfig) -> tuple[str, ...]:
    """Arrays of `features.targets` that a run's tasks learn from; raises like `stored_arrays`."""
    names = tuple(name for name in arrays_of(config.tasks) if name in TARGETS)
    if names and config.data == "clips":
        task = next(name for name in config.tasks if task_class(name).needs == "stems")
        raise SedmtlError(
            f"--task {task} needs each event without all other sound, which mixtures have but "
            "your own recordings do not: train without it"
        )
    return names


def check_targets(config: TrainConfig, store: Store) -> None:
    """Check that a store has the arrays that the tasks learn from.

    Raises:
        SedmtlError: It lacks one.
    """
    missing = set(stored_arrays(config)) - set(store.arrays)
    for task in config.tasks:
        if not missing.isdisjoint(task_class(task).arrays):
            raise SedmtlError(
                f"--task {task} needs stems, which {store.path} does not have: add --remix, or run "
                "'sedmtl mix --stems' and 'sedmtl features'"
            )


def _asked(config: TrainConfig) -> dict[str, str]:
    """Arrays needed beyond weak labels, each with the option that requires it."""
    asked = {array: f"--task {name}" for name in config.tasks for array in task_class(name).arrays}
    if config.supervision == "strong":
        asked[PRESENCE] = "--supervision strong"
    return asked


def fit_standardiser(store: Store, rows: Rows, array: str) -> Standardiser:
    """Fit the standardiser of a store's array over some rows."""
    return Standardiser.fit(store.read(batch, array) for batch in batches(rows, 256))
