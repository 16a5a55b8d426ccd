"""CRNN: pooled convolutions down to one band, and a bidirectional GRU over frames.

It belongs to the family of CDur (Dinkel, Wu and Yu, TASLP 2021) and the DESED baseline: each frame
has the context of the whole clip, but no mel bands remain to attend to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from sedmtl.models.blocks import encode, initialise
from sedmtl.models.frame_input import FrameInput, JoinedFrames
from sedmtl.models.output import SedOutput
from sedmtl.models.pooled import N_POOLED, JoiningSettings, check_sizes, pooled_blocks, pools_of
from sedmtl.models.time_pooling import TimePooling, at_logmel_frames


@dataclass(frozen=True)
class CrnnSettings(JoiningSettings):
    """The options of crnn; its blocks have 1, 4, 8 and 8 times `width` channels, its GRU 8."""

    stage_factors: ClassVar[tuple[int, ...]] = (1, 4, 8)

    def build(
        self, n_classes: int, n_frames: int, n_mels: int, frames: FrameInput | None = None
    ) -> nn.Module:
        """The network with fresh weights."""
        check_sizes(n_frames, n_mels)
        return Crnn(n_classes, n_mels, self, self.joined(frames))


class Crnn(nn.Module):
    """Pooled convolutions, a bidirectional GRU, and pooling over time.

    Args:
        n_classes: C.
        n_mels: F.
        settings: Its options.
        joined: Projects an encoder's frames as additional input of the GRU.
    """

    def __init__(
        self,
        n_classes: int,
        n_mels: int,
        settings: CrnnSettings,
        joined: JoinedFrames | None = None,
    ) -> None:
        super().__init__()
        channels = [1, *(settings.width * factor for factor in (1, 4, 8, 8))]
        self.encoder = pooled_blocks(channels, pools_of(n_mels), settings.dropout)
        n_inputs = channels[-1]
        if joined is not None:
            self.joined = joined
            n_inputs += channels[-1]
        self.gru = nn.GRU(n_inputs, channels[-1], batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(settings.dropout)
        self.class_layer = nn.Linear(2 * channels[-1], n_classes)
        self.time_pooling = TimePooling(2 * channels[-1], n_classes, settings.time_pooling)
        initialise(self)

    def forward(
        self,
        logmel: Tensor,
        frames: Tensor | None = None,
        *,
        reconstruct: bool = True,
        with_stages: bool = False,
    ) -> SedOutput:
        """Score a standardised batch (B, T, F); `reconstruct` is ignored without a decoder.

        Standardised encoder frames (B, T', D) are required if they are joined.
        """
        encoded, stages = encode(self.encoder, logmel, with_stages=with_stages)  # (B, D, T', F')
        sequence = encoded.mean(dim=-1).transpose(1, 2).float()  # (B, T', D)
        if frames is not None:
            joined = self.joined(frames, sequence.shape[1], N_POOLED)  # (B, D, T')
            sequence = torch.cat([sequence, joined.transpose(1, 2)], dim=-1)
        with torch.autocast(logmel.device.type, enabled=False):  # a GRU drifts in bfloat16
            features = self.dropout(self.gru(sequence)[0])  # (B, T', 2 D)
            evidence = self.class_layer(features).transpose(1, 2)  # (B, C, T')
            frame, (clip, over_time) = self.time_pooling(
                evidence.sigmoid(), features.transpose(1, 2)
            )
        return SedOutput(
            clip=clip.clamp(0, 1),
            frame=at_logmel_frames(frame, logmel.shape[1]),
            class_map=evidence.unsqueeze(-1),
            time_attention=over_time,
            encoded=encoded,
            stages=stages,
        )
