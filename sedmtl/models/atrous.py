"""Atrous attention: dilated convolutions, and attention over the whole map at once.

The benchmark of Ren et al. (ICASSP 2019), as used in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sedmtl.models.blocks import initialise
from sedmtl.models.frame_input import FrameInput
from sedmtl.models.output import SedOutput
from sedmtl.models.settings import NetworkSettings

DILATIONS = (1, 2, 4)


@dataclass(frozen=True)
class AtrousSettings(NetworkSettings):
    """The options of Atrous; its first convolution has twice `width` channels."""

    encoder_modules: ClassVar[tuple[str, ...]] = ("convs", "norms")

    def build(
        self, n_classes: int, n_frames: int, n_mels: int, frames: FrameInput | None = None
    ) -> nn.Module:
        """The network with fresh weights."""
        return AtrousAttention(n_classes, self.width)

    def class_probability(self, class_map: Tensor) -> Tensor:
        """The map is a log-softmax over classes."""
        return class_map.exp()


class AtrousAttention(nn.Module):
    """5x5 convolutions with growing dilation, then attention normalised over frames and mel bins.

    The classification branch is a log-softmax over classes, which is never positive, so the score,
    the sigmoid of its weighted mean, never exceeds 0.5.

    Args:
        n_classes: C.
        width: Half the channels of the first convolution; the others have 2 and 4 times as many.
    """

    def __init__(self, n_classes: int, width: int = 32) -> None:
        super().__init__()
        channels = [1, 2 * width, 4 * width, 8 * width]
        self.convs = nn.ModuleList(
            nn.Conv2d(n_in, n_out, 5, padding=2 * dilation, dilation=dilation, bias=False)
            for n_in, n_out, dilation in zip(channels, channels[1:], DILATIONS, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(n_out) for n_out in channels[1:])
        self.attention = nn.Conv2d(channels[-1], n_classes, 1)
        self.classification = nn.Conv2d(channels[-1], n_classes, 1)
        initialise(self)

    def forward(self, logmel: Tensor, *, reconstruct: bool = True) -> SedOutput:
        """Score a standardised batch (B, T, F); `reconstruct` is ignored without a decoder."""
        x = logmel.unsqueeze(1)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))  # (B, D, T, F)
        weights = torch.clamp(self.attention(x).float().sigmoid(), 0.1, 0.9)
        weights = weights / weights.sum(dim=(-2, -1), keepdim=True)  # (B, C, T, F), sums to 1
        class_map = self.classification(x).float().log_softmax(dim=1)  # (B, C, T, F)
        clip = (weights * class_map).sum(dim=(-2, -1)).sigmoid()  # (B, C)
        frame = class_map.exp().mean(dim=-1)  # (B, C, T)
        return SedOutput(clip=clip, frame=frame, class_map=class_map, encoded=x)
