"""Denoising: the log-mel of the events without the scene, from the mixture's."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from sedmtl.features.targets import CLEAN
from sedmtl.metrics.spectral import DB
from sedmtl.models import SedOutput
from sedmtl.models.denoiser import Denoiser
from sedmtl.models.heads import Sizes
from sedmtl.models.settings import NetworkSettings
from sedmtl.training.batches import Batch
from sedmtl.training.tasks.task import Need, Task, mean_where, reduced

AUDIBLE = 60 / DB
"""Bins down to 60 dB below a mixture's loudest bin count as audible; in units of the log-mel."""

SILENT = 0.1
"""Weight of silent bins."""

EXACT = 0.1
"""Smooths the root at 0, where its gradient is infinite, for distances well below 0.9 dB."""


class Denoise(Task):
    """Log-spectral distance to the clean events over audible bins, plus 0.1 times that over silent.

    This is the distance that `eval --denoise` reports, per clip. With mean squares, the few
    noisiest clips would dominate the loss, and clear ones would lose more than they gain.

    The log-mel of silence is a floor far below any sound (-18.4). Therefore silence is defined as
    60 dB below the mixture's loudest bin, and any lower prediction has no error.

    The decoder of `reconstruct` is not shared: it must draw only on the encoding, whereas this one
    also sees the input.
    """

    needs: ClassVar[Need] = "stems"
    weight: ClassVar[float] = 0.3
    reads_stages: ClassVar[bool] = True
    arrays: ClassVar[tuple[str, ...]] = (CLEAN,)

    def __init__(self, network: NetworkSettings, sizes: Sizes) -> None:
        super().__init__(network, sizes)
        self.head = Denoiser(network)

    def forward(self, output: SedOutput) -> Tensor:
        """(B, T, F) attenuation to subtract from the log-mel."""
        attenuation: Tensor = self.head(output)
        return attenuation

    def target(self, batch: Batch) -> Tensor:
        """(B, 2, T, F) log-mels of the mixture and of its clean events."""
        return torch.stack([batch.raw_logmel, batch.arrays[CLEAN]], dim=1)

    def loss(self, predicted: Tensor, target: Tensor, reduction: str) -> Tensor:
        """The distance of each clip (B,), then reduced."""
        mixture, clean = target.unbind(dim=1)
        limit = mixture.amax(dim=(1, 2), keepdim=True) - AUDIBLE
        is_audible = clean > limit
        left = mixture - predicted
        audible = _distance(is_audible, left - clean)
        silent = _distance(~is_audible, F.relu(left - limit))
        return reduced(audible + SILENT * silent, reduction)


def _distance(where: Tensor, differences: Tensor) -> Tensor:
    """(B,) smoothed root mean squares of differences (B, T, F) over `where`."""
    return (mean_where(where, differences.square()) + EXACT**2).sqrt() - EXACT
