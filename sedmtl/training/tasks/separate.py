"""Source separation: a mask per class that extracts the class's events from the mixture."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sedmtl.features.targets import CLASS_MELS
from sedmtl.logmel import FLOOR
from sedmtl.models import SedOutput
from sedmtl.models.class_masks import STRIDE, ClassMasks, odds_of
from sedmtl.models.heads import Sizes
from sedmtl.models.settings import NetworkSettings
from sedmtl.training.batches import Batch
from sedmtl.training.tasks.task import Need, Task, mean_where, reduced

TOLERANCE = 1e-3
"""Relative error that is small enough, -30 dB (Wisdom et al., NeurIPS 2020)."""


class Stems(NamedTuple):
    """The n pairs of clip and present class, with their target magnitudes.

    Attributes:
        mixture: (B, T', F) magnitudes of the mixtures, at the frame rate of the masks.
        clip: (n,) clip of each pair.
        label: (n,) class of each pair.
        alone: (n, T', F) magnitudes of the class alone.
    """

    mixture: Tensor
    clip: Tensor
    label: Tensor
    alone: Tensor


class Separate(Task):
    """Log of the squared magnitude error of each class, relative to the energy of its target.

    Masks are trained as they are used: the present classes are given and share each bin. Like
    SI-SDR, the error is logarithmic and relative, so that a quiet source counts as much as a loud
    one: ln(1 + error / (energy * `TOLERANCE`)).

    Absent classes must stay silent: their error is the energy that they get when all classes share
    the bins, relative to the energy of the mixture. A clip's loss is the mean over its present
    classes plus the mean over its absent ones.
    """

    needs: ClassVar[Need] = "stems"
    weight: ClassVar[float] = 0.1
    reads_stages: ClassVar[bool] = True
    arrays: ClassVar[tuple[str, ...]] = (CLASS_MELS,)

    def __init__(self, network: NetworkSettings, sizes: Sizes) -> None:
        super().__init__(network, sizes)
        self.head = ClassMasks(network, sizes.n_classes)

    def forward(self, output: SedOutput) -> Tensor:
        """(B, C, T', F) masks in [0, 1]."""
        masks: Tensor = self.head(output)
        return masks

    def target(self, batch: Batch) -> Stems:
        """Magnitudes of the mixtures and of each present class."""
        present = batch.target > 0  # (B, C)
        clip, label = present.nonzero(as_tuple=True)
        slot = present.cumsum(dim=1)[clip, label] - 1
        mixture, alone = batch.raw_logmel.exp(), batch.arrays[CLASS_MELS][clip, slot].float()
        return Stems(_at_masks(mixture), clip, label, _at_masks(alone))

    def loss(self, predicted: Tensor, target: Stems, reduction: str) -> Tensor:
        """The loss of each clip (B,), then reduced."""
        mixture, clip, label, alone = target
        odds = odds_of(predicted)
        given = odds[clip, label]
        shared = torch.ones_like(mixture).index_add(0, clip, given)  # 1 stands for the remainder
        errors = _energy(given * (mixture / shared)[clip] - alone)
        energies = _energy(alone)
        among_all = mixture / (1 + odds.sum(dim=1))  # all classes share each bin, as in `share`
        leaks = (odds * among_all.unsqueeze(1)).square().sum(dim=(2, 3))
        losses = leaks / _energy(mixture).clamp_min(FLOOR)[:, None]  # (B, C)
        in_tolerances = errors / (TOLERANCE * energies).clamp_min(FLOOR)
        losses = losses.index_put((clip, label), torch.log1p(in_tolerances))
        sounds = torch.zeros_like(losses, dtype=torch.bool)
        sounds[clip, label] = energies > 0
        return reduced(mean_where(sounds, losses) + mean_where(~sounds, losses), reduction)


def _at_masks(mels: Tensor) -> Tensor:
    """Average magnitudes (n, T, F) to the frame rate of the masks; n may be 0."""
    return F.avg_pool2d(mels.unsqueeze(1), (STRIDE, 1)).squeeze(1)


def _energy(magnitudes: Tensor) -> Tensor:
    """(n, T, F) -> (n,)."""
    return magnitudes.square().sum(dim=(1, 2))
