"""New training mixtures in every epoch, from the corpora's events and scenes or from own clips.

A mixture depends only on the seed, the epoch and its number, not on workers, processes or resuming.
Held-out and validation clips are never drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from sedmtl.config import Config, Remix
from sedmtl.data.draw import join_pools
from sedmtl.data.folds import target_of
from sedmtl.data.mixing import plan_project
from sedmtl.data.plan import Plan
from sedmtl.data.sources import open_sources
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import Store
from sedmtl.training.batches import BatchLoader
from sedmtl.training.class_balance import chances
from sedmtl.training.clip_remixer import ClipRemixer
from sedmtl.training.config import TrainConfig
from sedmtl.training.event_remixer import EventRemixer
from sedmtl.training.known import Knowledge
from sedmtl.training.split import Split


class Remixer(Protocol):
    """Makes the clips of an epoch.

    Attributes:
        n_clips: Clips per epoch.
        digest: Digest of the source audio, if it is not in the store; otherwise empty.
        recordings: Source recordings other than the training clips, named as by `recordings_of`.
    """

    n_clips: int
    digest: str
    recordings: frozenset[str]

    def loader(self, epoch: int) -> BatchLoader:
        """A loader of an epoch's clips, with rows 0 to `n_clips` - 1."""


def open_remixer(
    project: Config,
    config: TrainConfig,
    store: Store,
    split: Split,
    device: torch.device,
    knowledge: Knowledge | None = None,
    targets: Sequence[str] = (),
) -> Remixer:
    """Open the remixer of a store: of the corpora, or of the store's clips if they are unmixed.

    Args:
        project: Has the corpora.
        config: The run, with the ranges.
        store: The training store.
        split: Its parts.
        device: Device of the batches.
        knowledge: Makes the arrays of strong labels and scenes.
        targets: Arrays of `features.targets` that tasks learn from.

    Raises:
        SedmtlError: The corpora are not those of the store, cannot be read, or leave nothing to
            draw from.
    """
    remix, seed = config.remix or Remix(), config.seed
    n_clips = config.n_clips(len(split.train))
    if "snr_db" not in store.attributes:
        if store.clips.windows is not None:
            raise SedmtlError(
                f"--remix mixes clips of {project.mixing.duration_s:g} s, and {store.path} has "
                "longer recordings, whose labels do not tell which window has the event: train "
                "without --remix"
            )
        given = chances(store.clips.target[split.train]) if config.balanced else None
        return ClipRemixer(store, split.train, remix, n_clips, seed, device, knowledge, given)
    planned = plan_project(project)
    _check_plan(planned, store)
    folds = np.unique(store.clips.fold[split.train]).tolist()
    pool = join_pools(planned.pools[fold - 1] for fold in folds)
    sources = open_sources(project, planned, remix.event_part)
    labels = target_of([[clip.label] for clip in pool.clips], store.classes)
    given = chances(labels) if config.balanced else None
    return EventRemixer(
        sources, pool, project, remix, store, n_clips, seed, device, knowledge, targets, given
    )


def _check_plan(planned: Plan, store: Store) -> None:
    """Refuse corpora that would give other mixtures than the store's, hence other folds."""
    stored = store.clips
    same = (
        planned.classes == store.classes
        and [mixture.name for mixture in planned.mixtures] == list(stored.name)
        and [mixture.scene.name for mixture in planned.mixtures] == list(stored.scene)
        and [e.clip.name for m in planned.mixtures for e in m.events] == list(stored.events.source)
    )
    if not same:
        raise SedmtlError(
            f"--remix: {store.path} was made from other corpora or with other settings than those "
            "of data.yaml: run 'sedmtl mix' and 'sedmtl features' again"
        )
