"""A trainer at its beginning, from a feature store."""

from __future__ import annotations

import math
from functools import partial

import torch

from sedmtl.config import Config
from sedmtl.logmel import Standardiser
from sedmtl.store import Store, batches
from sedmtl.training.batches import PRESENCE, BatchLoader, ReadRows, fits
from sedmtl.training.config import TrainConfig, build_network
from sedmtl.training.loop import Trainer
from sedmtl.training.presence import ReadPresence
from sedmtl.training.remix import open_remixer
from sedmtl.training.split import split_rows
from sedmtl.training.tasks import arrays_of, build_tasks


def open_trainer(
    config: TrainConfig, store: Store, device: torch.device, project: Config | None = None
) -> Trainer:
    """A trainer at its beginning: rows split, standardiser fitted, fresh weights.

    Args:
        config: What to train.
        store: What to train on.
        device: Where.
        project: Has the corpora that `remix` draws from.

    Raises:
        SedmtlError: The fold or the network does not exist, or there is nothing to remix, or no
            known presence to train on.
    """
    split = split_rows(store.clips, config.fold)
    network = build_network(config, store)
    standardiser = Standardiser.fit(store.read(rows) for rows in batches(split.training_folds, 256))
    target = store.clips.target
    n_bytes = 4 * len(store) * math.prod(store.row_shape)
    reads: dict[str, ReadRows] = {
        name: partial(store.read, array=name) for name in ("logmel", *arrays_of(config))
    }
    presence = None
    if config.supervision == "strong":
        presence = ReadPresence.in_store(store, split.training_folds)
        reads[PRESENCE] = presence.of(store.clips.events)
    loader = BatchLoader(reads, target, device, resident=fits(n_bytes, device))
    remixer = None
    if config.remix is not None and project is not None:
        remixer = open_remixer(project, config, store, split, device, presence)
    tasks = build_tasks(config, store)
    return Trainer(network, tasks, standardiser, loader, target, split, config, device, remixer)
