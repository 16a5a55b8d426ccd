"""The denoiser: how much of each bin of the log-mel is not of the events."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from sedmtl.models.blocks import initialise
from sedmtl.models.output import SedOutput
from sedmtl.models.settings import NetworkSettings
from sedmtl.models.skip_decoder import SkipDecoder


class Denoiser(nn.Module):
    """A mask on the log-mel: what it takes away, which is never below 0.

    So the finest detail of the events' log-mel is that of the input, and a pooled encoder need not
    carry it.

    Args:
        network: Of the network whose output it reads.
    """

    def __init__(self, network: NetworkSettings) -> None:
        super().__init__()
        self.decoder = SkipDecoder(network)
        self.last = nn.Conv2d(self.decoder.n_channels, 1, 1)
        initialise(self)

    def forward(self, output: SedOutput) -> Tensor:
        """(B, T, F) in units of the natural log-mel: the log-mel less this is the events'."""
        return F.softplus(self.last(self.decoder(output)).squeeze(1).float())
