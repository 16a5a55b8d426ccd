"""A mask for each class: how much of each bin is of its events."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sedmtl.models.blocks import initialise
from sedmtl.models.output import SedOutput
from sedmtl.models.settings import NetworkSettings
from sedmtl.models.skip_decoder import SkipDecoder, enlarge

STRIDE = 2
"""Frames of the log-mel for each frame of the masks.

A step of pooled with 41 classes, batch 16, float32 on one thread takes 1.7 times as long as without
masks; with masks of all frames, decoded and compared in all of them, it took 2.3 times."""


class ClassMasks(nn.Module):
    """What sounds comes from the encoding, where exactly from the decoder: their logits add up.

    Args:
        network: Of the network whose output it reads.
        n_classes: C.
    """

    def __init__(self, network: NetworkSettings, n_classes: int) -> None:
        super().__init__()
        self.decoder = SkipDecoder(network, STRIDE)
        self.coarse = nn.Conv2d(network.n_channels, n_classes, 1)
        self.fine = nn.Conv2d(self.decoder.n_channels, n_classes, 1, bias=False)
        initialise(self)

    def forward(self, output: SedOutput) -> Tensor:
        """(B, C, T // `STRIDE`, F) in [0, 1]: the square roots of masks of magnitudes.

        Roots, because the loss compares those of magnitudes: so it has a slope where a mask is 0.
        """
        fine = self.fine(self.decoder(output))
        assert output.encoded is not None
        logits: Tensor = fine + enlarge(self.coarse(output.encoded), fine)
        return torch.sigmoid(logits.float())


def at_frames(masks: Tensor, n_frames: int) -> Tensor:
    """Masks (B, C, T // `STRIDE`, F) -> (B, C, T, F); what is left over repeats its neighbour."""
    repeated = masks.repeat_interleave(STRIDE, dim=2)
    padded: Tensor = F.pad(repeated, (0, 0, 0, n_frames - repeated.shape[2]), mode="replicate")
    return padded
