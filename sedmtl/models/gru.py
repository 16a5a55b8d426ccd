"""GRU: a small bidirectional recurrent layer on the frames of a frozen encoder.

Unlike the probe, it uses the temporal context of each frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from sedmtl.models.frame_input import FrameInput, needed
from sedmtl.models.output import SedOutput
from sedmtl.models.probe import FrameHead, FrameSettings


@dataclass(frozen=True)
class GruSettings(FrameSettings):
    """The options of gru."""

    encoder_modules: ClassVar[tuple[str, ...]] = ("gru",)

    width: int = 64
    """Units of the layer in each direction."""

    def build(
        self, n_classes: int, n_frames: int, n_mels: int, frames: FrameInput | None = None
    ) -> nn.Module:
        """The network with fresh weights."""
        return Gru(n_classes, n_frames, needed(frames), self)

    @property
    def n_channels(self) -> int:
        """Units in both directions together."""
        return 2 * self.width


class Gru(nn.Module):
    """A bidirectional GRU, presence of each class per frame, and pooling over time.

    The arguments are those of `Probe`.
    """

    def __init__(
        self, n_classes: int, n_frames: int, frames: FrameInput, settings: GruSettings
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(settings.dropout)
        self.gru = nn.GRU(frames.n_dims, settings.width, batch_first=True, bidirectional=True)
        self.head = FrameHead(settings.n_channels, n_classes, n_frames, frames, settings)

    def forward(self, frames: Tensor, *, reconstruct: bool = True) -> SedOutput:
        """Score a standardised batch (B, T', D); `reconstruct` is ignored without a decoder."""
        with torch.autocast(frames.device.type, enabled=False):  # a GRU drifts in bfloat16
            features = self.dropout(self.gru(self.dropout(frames.float()))[0])  # (B, T', 2 H)
        output: SedOutput = self.head(features)
        encoded = self.head.at_logmel_frames(features.transpose(1, 2))
        return output._replace(encoded=encoded.unsqueeze(-1))
