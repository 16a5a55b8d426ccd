"""The log-mel of the events without their scene, from the noisy one."""

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
"""Bins at most so far below the loudest of a mixture are heard; 60 dB, in units of the log-mel."""


SILENT = 0.1
"""Weight of silent bins."""

EXACT = 0.1
"""Distances far below it, 0.9 dB, have no slope: that of a root is infinite at 0."""


class Denoise(Task):
    """Log-spectral distance to the events over audible bins, and a tenth of that over silent ones.

    It is the distance that `eval --denoise` measures, of each clip: of squares, the few clips with
    the most noise would be most of the loss, and clear ones would lose more than they gain.

    The logarithm of silence is a floor far below any sound (-18.4). So silence lies 60 dB below the
    loudest bin of the mixture, and anything below that is silent enough.

    It does not share the decoder of `reconstruct`, which is to draw what the encoding holds, while
    this one sees the input beside it.
    """

    needs: ClassVar[Need] = "stems"
    weight: ClassVar[float] = 0.3
    reads_stages: ClassVar[bool] = True
    arrays: ClassVar[tuple[str, ...]] = (CLEAN,)

    def __init__(self, network: NetworkSettings, sizes: Sizes) -> None:
        super().__init__(network, sizes)
        self.head = Denoiser(network)

    def forward(self, output: SedOutput) -> Tensor:
        """(B, T, F), what is taken from the log-mel."""
        attenuation: Tensor = self.head(output)
        return attenuation

    def target(self, batch: Batch) -> Tensor:
        """(B, 2, T, F), the log-mels of the mixture and of its events."""
        return torch.stack([batch.raw_logmel, batch.arrays[CLEAN]], dim=1)

    def loss(self, predicted: Tensor, target: Tensor, reduction: str) -> Tensor:
        """As above, of each clip (B,)."""
        mixture, clean = target.unbind(dim=1)
        limit = mixture.amax(dim=(1, 2), keepdim=True) - AUDIBLE
        is_audible = clean > limit
        left = mixture - predicted
        audible = _distance(is_audible, left - clean)
        silent = _distance(~is_audible, F.relu(left - limit))
        return reduced(audible + SILENT * silent, reduction)


def _distance(where: Tensor, differences: Tensor) -> Tensor:
    """(B,) root mean squares of differences (B, T, F) where they count, less what is exact."""
    return (mean_where(where, differences.square()) + EXACT**2).sqrt() - EXACT
