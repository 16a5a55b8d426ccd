"""New mixtures of a store's training clips in every epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import log

import numpy as np
import torch
from torch import Tensor

from sedmtl.config import Remix
from sedmtl.data.draw import Chances
from sedmtl.store import Rows, Store
from sedmtl.training.batches import BatchLoader, ReadRows
from sedmtl.training.known import JOINS, Knowledge, Known, Read


class ClipRemixer:
    """Mixes a store's training clips: energies add, labels are united.

    Args:
        store: A store of unmixed recordings.
        rows: Its training clips.
        remix: The range of clips per mixture.
        n_clips: Mixtures per epoch.
        seed: The run's seed.
        device: Device of the batches.
        knowledge: Makes the arrays of strong labels and scenes.
        chances: Sampling probabilities of the training clips; None for uniform.
    """

    def __init__(
        self,
        store: Store,
        rows: Rows,
        remix: Remix,
        n_clips: int,
        seed: int,
        device: torch.device,
        knowledge: Knowledge | None = None,
        chances: Chances | None = None,
    ) -> None:
        self.n_clips, self.digest, self.recordings = n_clips, "", frozenset[str]()
        self._store, self._rows, self._range = store, rows, remix.clips_per_mixture
        self._seed, self._device, self._chances = seed, device, chances
        clips = store.clips
        self._known = {} if knowledge is None else knowledge.of(clips.events, clips.scene)

    def loader(self, epoch: int) -> BatchLoader:
        """The mixtures of an epoch."""
        drawn = [self.draw(epoch, number) for number in range(self.n_clips)]
        target = np.array([self._store.clips.target[rows].max(axis=0) for rows in drawn])

        def logmels(rows: Rows) -> Tensor:
            mixed = [add_energies(torch.from_numpy(self._store.read(drawn[row]))) for row in rows]
            return torch.stack(mixed) if mixed else torch.empty(0, *self._store.row_shape)

        reads: dict[str, ReadRows] = {"logmel": logmels}
        for name, read in self._known.items():
            reads[name] = partial(_join, read, JOINS[name], drawn)
        return BatchLoader(reads, target, self._device, resident=False)

    def draw(self, epoch: int, number: int) -> Rows:
        """Store rows of the clips in one mixture."""
        rng = np.random.default_rng([self._seed, epoch, number])
        n_wanted = min(int(rng.integers(*self._range, endpoint=True)), len(self._rows))
        return rng.choice(self._rows, n_wanted, replace=False, p=self._chances)


def _join(read: Read, join: Callable[..., Known], drawn: Sequence[Rows], rows: Rows) -> Known:
    """Join an array over the clips of each mixture; `rows` are mixture numbers, possibly empty."""
    return np.array([join(read(drawn[row]), axis=0) for row in rows]) if len(rows) else read(rows)


def add_energies(logmels: Tensor) -> Tensor:
    """(K, …) log-mels of K sounds -> (…) log-mel of their sum divided by sqrt(K).

    Energies of uncorrelated sounds add. The division keeps the level of a single clip.
    """
    return (torch.logsumexp(2 * logmels, dim=0) - log(len(logmels))) / 2
