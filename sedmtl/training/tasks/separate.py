"""A mask for each class, which applied to the mixture leaves the events of the class."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sedmtl.features.targets import CLASS_MELS
from sedmtl.logmel import FLOOR
from sedmtl.models import SedOutput
from sedmtl.models.class_masks import STRIDE, ClassMasks, odds_of, share
from sedmtl.models.heads import Sizes
from sedmtl.models.settings import NetworkSettings
from sedmtl.training.batches import Batch
from sedmtl.training.tasks.task import Need, Task, mean_where, reduced

TOLERANCE = 1e-3
"""Errors 30 dB below what they are compared with are small enough (Wisdom et al., NeurIPS 2020)."""


class Stems(NamedTuple):
    """The classes that sound in clips, one row each, of which there are n.

    Attributes:
        mixture: (B, T', F) magnitudes, in the frames of the masks.
        clip: (n,) the clip of each.
        label: (n,) its class.
        alone: (n, T', F) its magnitudes.
    """

    mixture: Tensor
    clip: Tensor
    label: Tensor
    alone: Tensor


class Separate(Task):
    """The logarithm of the squared error of magnitudes, over the energy of what should be there.

    As the masks are used, so they are learned: the classes that sound in a clip are given and share
    its bins. The error of each is measured like its SI-SDR, in decibels, and so that a quiet source
    counts as much as a loud one: ln(1 + error / (energy * `TOLERANCE`)) of its mean squares.

    Classes that are silent must stay so. Their error is what masks of all classes together leave
    them, over the energy of the mixture. A clip's loss is the mean over the classes that sound in
    it, plus the mean over those that do not, however many classes there are.
    """

    needs: ClassVar[Need] = "stems"
    weight: ClassVar[float] = 0.1
    reads_stages: ClassVar[bool] = True
    arrays: ClassVar[tuple[str, ...]] = (CLASS_MELS,)

    def __init__(self, network: NetworkSettings, sizes: Sizes) -> None:
        super().__init__(network, sizes)
        self.head = ClassMasks(network, sizes.n_classes)

    def forward(self, output: SedOutput) -> Tensor:
        """(B, C, T', F) in [0, 1], the masks."""
        masks: Tensor = self.head(output)
        return masks

    def target(self, batch: Batch) -> Stems:
        """The classes of the targets, and the mixtures."""
        present = batch.target > 0  # (B, C)
        clip, label = present.nonzero(as_tuple=True)
        slot = present.cumsum(dim=1)[clip, label] - 1
        mixture, alone = batch.raw_logmel.exp(), batch.arrays[CLASS_MELS][clip, slot].float()
        return Stems(_at_masks(mixture), clip, label, _at_masks(alone))

    def loss(self, predicted: Tensor, target: Stems, reduction: str) -> Tensor:
        """As above, of each clip (B,)."""
        mixture, clip, label, alone = target
        odds = odds_of(predicted[clip, label])
        given = torch.ones_like(mixture).index_add(0, clip, odds)  # 1 is of the rest
        errors = _energy(odds / given[clip] * mixture[clip] - alone)
        energies = _energy(alone)
        leaks = torch.einsum("bctf,btf->bc", share(predicted).square(), mixture.square())
        losses = leaks / _energy(mixture).clamp_min(FLOOR)[:, None]  # (B, C)
        in_tolerances = errors / (TOLERANCE * energies).clamp_min(FLOOR)
        losses = losses.index_put((clip, label), torch.log1p(in_tolerances))
        sounds = torch.zeros_like(losses, dtype=torch.bool)
        sounds[clip, label] = energies > 0
        return reduced(mean_where(sounds, losses) + mean_where(~sounds, losses), reduction)


def _at_masks(mels: Tensor) -> Tensor:
    """Magnitudes (n, T, F) in the frames of the masks."""
    return F.avg_pool2d(mels.unsqueeze(1), (STRIDE, 1)).squeeze(1)  # of no clip, too


def _energy(magnitudes: Tensor) -> Tensor:
    """(n, T, F) -> (n,)."""
    return magnitudes.square().sum(dim=(1, 2))
