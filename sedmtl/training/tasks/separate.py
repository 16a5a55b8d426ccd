"""A mask for each class, which applied to the mixture leaves the events of the class."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from sedmtl.features.targets import CLASS_MELS
from sedmtl.logmel import FLOOR
from sedmtl.models import SedOutput
from sedmtl.models.class_masks import ClassMasks
from sedmtl.models.heads import Sizes
from sedmtl.models.settings import NetworkSettings
from sedmtl.training.batches import Batch
from sedmtl.training.tasks.task import Need, Task, reduced


class Separate(Task):
    """Squared error of root magnitudes, over that of a mask of 0 in all bins.

    Roots: of magnitudes themselves a few loud bins would be all of the loss, of logarithms silence.

    The error of a clip is the mean over the classes that sound in it, plus the mean over those that
    do not. So a class weighs as much by the clips in which it is silent as by those in which it
    sounds, over an epoch, however many classes there are: with C of them, K in each clip, it sounds
    in a share K / C of the clips and weighs 1 / K there, and 1 / (C - K) in the others.
    """

    needs: ClassVar[Need] = "stems"
    weight: ClassVar[float] = 1.0
    reads_stages: ClassVar[bool] = True
    arrays: ClassVar[tuple[str, ...]] = (CLASS_MELS,)

    def __init__(self, network: NetworkSettings, sizes: Sizes) -> None:
        super().__init__(network, sizes)
        self.head = ClassMasks(network, sizes.n_classes)

    @classmethod
    def fits(cls, network: type[NetworkSettings]) -> bool:
        """Whether it gives the stages of its encoder."""
        return network.stage_channels is not NetworkSettings.stage_channels

    def forward(self, output: SedOutput) -> Tensor:
        """(B, C, T, F) in [0, 1], the roots of the masks."""
        masks: Tensor = self.head(output)
        return masks

    def target(self, batch: Batch) -> Tensor:
        """(B, C + 1, T, F), root magnitudes of each class, then of the mixture."""
        present, mels = batch.target > 0, batch.arrays[CLASS_MELS]  # (B, C), (B, K, T, F)
        target = mels.new_zeros(*present.shape, *mels.shape[2:], dtype=torch.float32)
        slot = present.cumsum(dim=1) - 1
        clip, label = present.nonzero(as_tuple=True)
        target[clip, label] = mels[clip, slot[clip, label]].float().sqrt()
        mixture = batch.raw_logmel.exp().sqrt()
        return torch.cat([target, mixture.unsqueeze(1)], dim=1)

    def loss(self, predicted: Tensor, target: Tensor, reduction: str) -> Tensor:
        """As above, of each clip (B,)."""
        wanted, mixture = target[:, :-1], target[:, -1:]
        errors = (predicted * mixture - wanted).square().sum(dim=(2, 3))  # (B, C)
        errors = errors / mixture.square().sum(dim=(2, 3)).clamp_min(FLOOR)
        sounds = wanted.flatten(2).any(dim=2)
        return reduced(_mean_where(sounds, errors) + _mean_where(~sounds, errors), reduction)


def _mean_where(where: Tensor, values: Tensor) -> Tensor:
    """(B, C) -> (B,); 0 of no classes."""
    return (values * where).sum(dim=1) / where.sum(dim=1).clamp_min(1)
