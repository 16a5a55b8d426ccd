"""The denoiser: how much of each bin of the log-mel is not of the events."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sedmtl.models.blocks import initialise
from sedmtl.models.output import SedOutput
from sedmtl.models.settings import NetworkSettings
from sedmtl.models.skip_decoder import SkipDecoder

BELOW = 5
"""One frame of so many lies below the scene's level. Three events of 2 s leave four of 10 s."""


class Denoiser(nn.Module):
    """A mask on the log-mel: what it takes away, which is never below 0.

    So the finest detail of the events' log-mel is that of the input, and a pooled encoder need not
    carry it. How much is to be taken away follows from how far a bin is above the scene's level in
    its mel bin, which the head is given: over the clip, a low quantile.

    Args:
        network: Of the network whose output it reads.
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
        """(B, T, F) in units of the natural log-mel: the log-mel less this is the events'."""
        logmel = output.stages[0]
        scene = logmel.kthvalue(1 + logmel.shape[2] // BELOW, dim=2, keepdim=True).values
        levels = torch.cat([logmel, logmel - scene], dim=1)
        detail = F.relu(self.norm(self.decoder(output) + self.from_levels(levels)))
        return F.softplus((self.last(detail) + self.direct(levels)).squeeze(1).float())
