"""A mask for each class, which applied to the mixture leaves the events of the class."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sedmtl.features.targets import CLASS_MELS
from sedmtl.logmel import FLOOR
from sedmtl.models import SedOutput
from sedmtl.models.class_masks import STRIDE, ClassMasks
from sedmtl.models.heads import Sizes
from sedmtl.models.settings import NetworkSettings
from sedmtl.training.batches import Batch
from sedmtl.training.tasks.task import Need, Task, mean_where, reduced


class Stems(NamedTuple):
    """The classes that sound in clips, one row each, of which there are n.

    Attributes:
        mixture: (B, T', F) root magnitudes, in the frames of the masks.
        clip: (n,) the clip of each.
        label: (n,) its class.
        alone: (n, T', F) its root magnitudes.
    """

    mixture: Tensor
    clip: Tensor
    label: Tensor
    alone: Tensor


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

    def forward(self, output: SedOutput) -> Tensor:
        """(B, C, T', F) in [0, 1], the roots of the masks."""
        masks: Tensor = self.head(output)
        return masks

    def target(self, batch: Batch) -> Stems:
        """The classes of the targets, and the mixtures."""
        present = batch.target > 0  # (B, C)
        clip, label = present.nonzero(as_tuple=True)
        slot = present.cumsum(dim=1)[clip, label] - 1
        mixture, alone = batch.raw_logmel.exp(), batch.arrays[CLASS_MELS][clip, slot].float()
        return Stems(_roots(mixture), clip, label, _roots(alone))

    def loss(self, predicted: Tensor, target: Stems, reduction: str) -> Tensor:
        """As above, of each clip (B,)."""
        mixture, clip, label, alone = target
        power = mixture.square()
        whole = power.sum(dim=(1, 2)).clamp_min(FLOOR)  # (B,)
        # Of a class that is silent, all that its mask leaves is an error: (B, C).
        errors = torch.einsum("bctf,btf->bc", predicted.square(), power) / whole[:, None]
        left = predicted[clip, label] * mixture[clip] - alone
        errors = errors.index_put((clip, label), left.square().sum(dim=(1, 2)) / whole[clip])
        sounds = torch.zeros_like(errors, dtype=torch.bool)
        sounds[clip, label] = alone.flatten(1).any(dim=1)
        return reduced(mean_where(sounds, errors) + mean_where(~sounds, errors), reduction)


def _roots(mels: Tensor) -> Tensor:
    """Magnitudes (n, T, F) -> their roots in the frames of the masks."""
    return F.avg_pool2d(mels.unsqueeze(1), (STRIDE, 1)).squeeze(1).sqrt()  # of no clip, too
