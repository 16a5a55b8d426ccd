"""Pooled: the paper's blocks, each followed by pooling, and evidence summed over mel bands.

The paper's encoder keeps every frame and mel bin up to its last block. This one pools both early,
which takes an eightieth of the arithmetic, but keeps some mel bands: their evidence explains a
score over frequency, and the pooling weights explain it over time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sedmtl.models.blocks import ConvBlock, encode, initialise
from sedmtl.models.frame_input import FrameInput, JoinedFrames, needed
from sedmtl.models.output import SedOutput
from sedmtl.models.settings import FrameMeaning, NetworkSettings
from sedmtl.models.time_pooling import PoolingForm, TimePooling, at_logmel_frames
from sedmtl.runtime.errors import SedmtlError

Pools = tuple[tuple[int, int], ...]
"""Pooling factors over frames and mel bins after each block."""

N_POOLED = 2
"""Log-mel frames per frame of the network."""

MIN_FRAMES, MIN_MELS = 4, 4
"""Smallest input that pooling does not reduce to nothing."""


def pools_of(n_mels: int) -> Pools:
    """Pooling factors for F mel bins: half the frames, and at least 4 bands from 16 bins up."""
    return ((N_POOLED, max(1, min(4, n_mels // 16))), (1, 2), (1, 2), (1, 1))


def n_bands_of(n_mels: int) -> int:
    """Number of mel bands that remain of F mel bins after pooling."""
    return n_mels // math.prod(factor for _, factor in pools_of(n_mels))


@dataclass(frozen=True)
class CheapSettings(NetworkSettings):
    """The options that all cheap networks share, on the log-mel or on encoder frames."""

    width: int = 16
    """Channels of the first block, whose maps of all frames and mel bins fill the memory."""

    time_pooling: PoolingForm = "local"
    """From frames to clip: the power mean of the odds, linear softmax, learned attention, the mean
    or the maximum."""

    dropout: float = 0.2
    """Share of activations dropped after each block in training."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One is invalid.
        """
        super().__post_init__()
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout should be from 0 to below 1, found {self.dropout}")

    @property
    def frame_meaning(self) -> FrameMeaning:
        """All forms of time pooling start from presence per frame."""
        return "presence"


@dataclass(frozen=True)
class JoiningSettings(CheapSettings):
    """The options of the cheap networks on the log-mel."""

    added: ClassVar[tuple[str, ...]] = ("join_frames",)

    join_frames: bool = False
    """Also take the frames of features.encoder: joined to the network's features over time."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The log-mel, and the encoder's frames if they are joined."""
        return ("logmel", "frames") if self.join_frames else ("logmel",)

    def joined(self, frames: FrameInput | None) -> JoinedFrames | None:
        """The submodule that projects encoder frames, if they are joined."""
        if not self.join_frames:
            return None
        return JoinedFrames(needed(frames), 8 * self.width, self.dropout)


@dataclass(frozen=True)
class PooledSettings(JoiningSettings):
    """The options of pooled; its blocks have 1, 2, 4 and 8 times `width` channels."""

    task_modules: ClassVar[Mapping[str, str]] = {"reconstruct": "decoder"}
    stage_factors: ClassVar[tuple[int, ...]] = (1, 2, 4)

    def build(
        self, n_classes: int, n_frames: int, n_mels: int, frames: FrameInput | None = None
    ) -> nn.Module:
        """The network with fresh weights."""
        check_sizes(n_frames, n_mels)
        return Pooled(n_classes, n_mels, self, self.joined(frames))


def check_sizes(n_frames: int, n_mels: int) -> None:
    """Check that the input is large enough to be pooled.

    Raises:
        SedmtlError: It is not.
    """
    if n_frames < MIN_FRAMES or n_mels < MIN_MELS:
        raise SedmtlError(
            f"networks that pool need at least {MIN_FRAMES} frames and {MIN_MELS} mel bins, "
            f"found {n_frames} and {n_mels}: raise n_mels in data.yaml, or train --model 2apae"
        )


class Pooled(nn.Module):
    """Pooled encoder, evidence per mel band, pooling over time, and a decoder.

    Its `mel_attention` is the softmax of the bands' evidence for a class.

    Args:
        n_classes: C.
        n_mels: F.
        settings: Its options.
        joined: Projects an encoder's frames, whose evidence is added like another band's.
    """

    def __init__(
        self,
        n_classes: int,
        n_mels: int,
        settings: PooledSettings,
        joined: JoinedFrames | None = None,
    ) -> None:
        super().__init__()
        channels = [1, *(settings.width * factor for factor in (1, 2, 4, 8))]
        pools, n_bands = pools_of(n_mels), n_bands_of(n_mels)
        self.encoder = pooled_blocks(channels, pools, settings.dropout)
        self.class_map = BandLayer(channels[-1], n_classes, n_bands)
        n_features = channels[-1] * n_bands
        if joined is not None:
            self.joined, self.frame_map = joined, nn.Conv1d(channels[-1], n_classes, 1)
            n_features += channels[-1]
        self.time_pooling = TimePooling(n_features, n_classes, settings.time_pooling)
        self.decoder = unpooling_blocks(channels[::-1], pools[::-1])
        initialise(self)

    def forward(
        self,
        logmel: Tensor,
        frames: Tensor | None = None,
        *,
        reconstruct: bool = True,
        with_stages: bool = False,
    ) -> SedOutput:
        """Score a batch of any length.

        Args:
            logmel: (B, T, F), standardised.
            frames: (B, T', D), standardised, if they are joined.
            reconstruct: Whether to run the decoder.
            with_stages: Whether to return the encoder's stages.
        """
        encoded, stages = encode(self.encoder, logmel, with_stages=with_stages)  # (B, D, T', F')
        class_map = self.class_map(encoded)  # (B, C, T', F')
        # In effect a linear layer over all bands. Attention over bands, as in the paper, lowers
        # micro-P by 0.03 and PSDS2 by 0.10 at 10 dB (docs/method.md).
        evidence = class_map.sum(dim=-1)  # (B, C, T')
        features = encoded.transpose(1, 2).flatten(2).transpose(1, 2)  # (B, D F', T')
        if frames is not None:
            joined = self.joined(frames, evidence.shape[-1], N_POOLED)  # (B, D, T')
            evidence = evidence + self.frame_map(joined)
            features = torch.cat([features, joined], dim=1)
        frame, (clip, over_time) = self.time_pooling(evidence.sigmoid(), features)
        n_frames = logmel.shape[1]
        return SedOutput(
            clip=clip.clamp(0, 1),
            frame=at_logmel_frames(frame, n_frames),
            class_map=class_map,
            mel_attention=class_map.float().softmax(dim=-1),
            time_attention=over_time,
            tasks={"reconstruct": self._decode(encoded, logmel)} if reconstruct else {},
            encoded=encoded,
            stages=stages,
        )

    def _decode(self, encoded: Tensor, logmel: Tensor) -> Tensor:
        """(B, D, T', F') -> (B, T, F); frames and bins cut off by pooling repeat the last one."""
        decoded = self.decoder(encoded)
        (n_frames, n_mels), (n_left, n_right) = logmel.shape[1:], decoded.shape[2:]
        padding = (0, n_mels - n_right, 0, n_frames - n_left)
        padded: Tensor = F.pad(decoded, padding, mode="replicate").squeeze(1)
        return padded


class BandLayer(nn.Module):
    """A linear layer per class and mel band: (B, D, T, F) -> (B, C, T, F).

    Unlike a 1x1 convolution, it has separate weights for each band.
    """

    def __init__(self, n_channels: int, n_classes: int, n_bands: int) -> None:
        super().__init__()
        bound = n_channels**-0.5
        self.weight = nn.Parameter(torch.empty(n_classes, n_channels, n_bands))
        self.bias = nn.Parameter(torch.zeros(n_classes, 1, n_bands))
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, T, F) -> (B, C, T, F)."""
        return torch.einsum("bdtf,cdf->bctf", x, self.weight) + self.bias


def pooled_blocks(channels: list[int], pools: Pools, dropout: float) -> nn.Sequential:
    """Blocks with the given numbers of channels, each followed by pooling and dropout."""
    layers: list[nn.Module] = []
    for (n_in, n_out), pool in zip(pairwise(channels), pools, strict=True):
        layers += [ConvBlock(n_in, n_out, pool=False), nn.AvgPool2d(pool), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


def unpooling_blocks(channels: list[int], pools: Pools) -> nn.Sequential:
    """The inverse of `pooled_blocks`: upsampling, then a block; the last has no final ReLU."""
    layers: list[nn.Module] = []
    for (n_in, n_out), pool in zip(pairwise(channels), pools, strict=True):
        block = ConvBlock(n_in, n_out, pool=False)
        layers += [nn.Upsample(scale_factor=pool), block]
    block.activation = nn.Identity()
    return nn.Sequential(*layers)
