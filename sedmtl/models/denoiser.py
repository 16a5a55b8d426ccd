"""The denoiser: how much of each log-mel bin belongs to the scene rather than the events."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sedmtl.models.blocks import initialise
from sedmtl.models.output import SedOutput
from sedmtl.models.settings import NetworkSettings
from sedmtl.models.skip_decoder import SkipDecoder

BELOW = 5
"""The scene's level is the quantile 1/BELOW over time. Three events of 2 s leave 4 of 10 s."""


class Denoiser(nn.Module):
    """Computes a non-negative attenuation of the log-mel.

    The fine detail of the result thus comes from the input, and a pooled encoder need not carry it.
    As the attenuation depends on how far a bin is above the scene's level, the head also gets the
    level of each mel bin: a low quantile over the clip.

    Args:
        network: Settings of the network whose output it reads.
    """

    def __init__(self, network: NetworkSettings) -> None:
        super().__init__()
        self.decoder = SkipDecoder(network)
        n_channels = self.decoder.n_channels
        self.from_levels = nn.Conv2d(2, n_channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(n_channels)
        self.last = nn.Conv2d(n_channels, 1, 1)
        self.direct = nn.Conv2d(2, 1, 1, bias=False)
        initialise(self)

    def forward(self, output: SedOutput) -> Tensor:
        """(B, T, F) attenuation in natural log units; the log-mel minus it is the events'."""
        logmel = output.stages[0]
        scene = logmel.kthvalue(1 + logmel.shape[2] // BELOW, dim=2, keepdim=True).values
        levels = torch.cat([logmel, logmel - scene], dim=1)
        detail = self.norm(self.from_levels(levels).add_(self.decoder(output)))
        detail = F.relu(detail, inplace=True)
        return F.softplus((self.last(detail) + self.direct(levels)).squeeze(1).float())
