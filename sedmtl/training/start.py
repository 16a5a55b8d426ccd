"""A trainer at its beginning, from a feature store."""

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
    """A trainer at its beginning: rows split, standardiser fitted, fresh weights.

    Args:
        config: What to train.
        store: What to train on.
        device: Where.
        project: Has the corpora that `remix` draws from.
        pretrained: Has weights to begin with, and their standardiser.

    Raises:
        SedmtlError: The fold or the network does not exist, or there is nothing to remix, or what
            a task needs is not known, or the given weights do not fit.
    """
    split = split_rows(store.clips, config.fold)
    network = build_network(config, store)
    # The card has that of the log-mel, too, for pictures.
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
    """What a run reads of its store, all of which a GPU that has room for it keeps.

    Args:
        config: Of the run.
        arrays: Of the store.
        n_classes: C.
        n_rows: Of the store.
    """
    known = known_arrays(n_classes, arrays["logmel"].row_shape[0])
    names = (*config.network.inputs, *stored_arrays(config), *(known.keys() & _asked(config)))
    every = {**arrays, **known}
    return n_bytes_of({name: every[name] for name in names}, n_rows)


def stored_arrays(config: TrainConfig) -> tuple[str, ...]:
    """The arrays of the store that a run needs beside the log-mel: none if it makes them anew.

    Raises:
        SedmtlError: A task does not exist, or needs more than recordings that were not mixed have.
    """
    return () if config.remix else targets_of(config)


def targets_of(config: TrainConfig) -> tuple[str, ...]:
    """The arrays of `features.targets` that the tasks of a run learn from; raises likewise."""
    names = tuple(name for name in arrays_of(config.tasks) if name in TARGETS)
    if names and config.data == "clips":
        task = next(name for name in config.tasks if task_class(name).needs == "stems")
        raise SedmtlError(
            f"--task {task} needs each event without all other sound, which mixtures have and "
            "recordings of your own have not: train without it"
        )
    return names


def check_targets(config: TrainConfig, store: Store) -> None:
    """Refuse a store that lacks what the tasks learn from.

    Raises:
        SedmtlError: It does.
    """
    missing = set(stored_arrays(config)) - set(store.arrays)
    for task in config.tasks:
        if not missing.isdisjoint(task_class(task).arrays):
            raise SedmtlError(
                f"--task {task} needs stems, which {store.path} does not have: add --remix, or run "
                "'sedmtl mix --stems' and 'sedmtl features'"
            )


def _asked(config: TrainConfig) -> dict[str, str]:
    """The arrays that are made of what is known of clips, and the option that asks for each."""
    asked = {array: f"--task {name}" for name in config.tasks for array in task_class(name).arrays}
    if config.supervision == "strong":
        asked[PRESENCE] = "--supervision strong"
    return asked


def fit_standardiser(store: Store, rows: Rows, array: str) -> Standardiser:
    """Of an array of a store, over the rows of the training folds."""
    return Standardiser.fit(store.read(batch, array) for batch in batches(rows, 256))
