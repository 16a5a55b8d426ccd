"""Decodes the encoding to the grid of the log-mel, with skip connections.

A pooled encoding tells which sounds are in a band, coarsely in time; the outputs of earlier blocks
locate them in frames and mel bins (Ronneberger, Fischer and Brox, U-Net, MICCAI 2015).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sedmtl.models.output import SedOutput
from sedmtl.models.settings import NetworkSettings
from sedmtl.runtime.errors import SedmtlError


class SkipDecoder(nn.Module):
    """One level per stage of the encoder, the coarsest first.

    Args:
        network: Settings of the network whose `SedOutput` it reads.
        n_averaged: Log-mel frames per frame of the result.

    Raises:
        SedmtlError: The network has no stages.

    Attributes:
        n_channels: D of the result, as in the finest stage.
    """

    def __init__(self, network: NetworkSettings, n_averaged: int = 1) -> None:
        super().__init__()
        self.n_averaged = n_averaged
        stages = network.stage_channels
        if not stages:
            raise SedmtlError(
                "the tasks denoise and separate read the blocks of the encoder, which this network "
                "does not provide: expected 2apae, pooled or crnn; choose one of them with --model"
            )
        below = [*stages[1:], network.n_channels]
        pairs = list(zip(below, stages, strict=True))[::-1]
        self.levels = nn.ModuleList(Level(n_below, n_stage) for n_below, n_stage in pairs)
        self.n_channels = stages[0]

    def forward(self, output: SedOutput) -> Tensor:
        """(B, D, T // `n_averaged`, F)."""
        (logmel, *stages), x = output.stages, output.encoded
        n_frames = logmel.shape[2] // self.n_averaged
        assert x is not None
        for level, stage in zip(self.levels, reversed(stages), strict=True):
            factor = stage.shape[2] // n_frames
            # Averages of single frames would be a copy: 4 % of a training step with `denoise`.
            x = level(x, F.avg_pool2d(stage, (factor, 1)) if factor > 1 else stage)
        return x


class Level(nn.Module):
    """Combines the coarser level, upsampled to a stage's size, the stage, and its mean over time.

    The mean represents the stationary part of a scene, which short contexts do not show, so that
    frames can be compared with it in each mel bin. All three are convolved and added instead of
    concatenated, so that the coarse level is convolved before upsampling.

    Args:
        n_below: Channels of the coarser level.
        n_stage: Channels of the stage and of the result.
    """

    def __init__(self, n_below: int, n_stage: int) -> None:
        super().__init__()
        self.from_below = nn.Conv2d(n_below, n_stage, 1, bias=False)
        self.from_stage = nn.Conv2d(n_stage, n_stage, 3, padding=1, bias=False)
        self.from_mean = nn.Conv2d(n_stage, n_stage, 1, bias=False)
        self.norm = nn.BatchNorm2d(n_stage)

    def forward(self, below: Tensor, stage: Tensor) -> Tensor:
        """(B, D, T', F') and (B, D', T, F) -> (B, D', T, F)."""
        steady = self.from_mean(over_time(stage))
        added = self.from_stage(stage).add_(enlarge(self.from_below(below), stage)).add_(steady)
        return F.relu(self.norm(added), inplace=True)


def over_time(x: Tensor) -> Tensor:
    """Mean over time, (B, D, T, F) -> (B, D, 1, F), in the order of memory with channels last.

    `x.mean(dim=2)` takes three times as long there.
    """
    rows = x.permute(0, 2, 3, 1).flatten(2)  # (B, T, F D)
    mean = torch.unflatten(rows.mean(dim=1, keepdim=True), -1, (x.shape[3], x.shape[1]))
    return mean.permute(0, 3, 1, 2)


def enlarge(x: Tensor, like: Tensor) -> Tensor:
    """Interpolate (B, D, T', F') linearly to the frames and bins of another map."""
    size = like.shape[-2:]
    return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="bilinear")
