"""Probe: a linear layer on each frame of a frozen encoder, and pooling over time.

It has so few weights that a handful of clips per class can teach them, and it measures what the
encoder knows: all that it does is to weigh the encoder's values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from sedmtl.models.blocks import initialise
from sedmtl.models.frame_input import FrameInput, needed
from sedmtl.models.output import SedOutput
from sedmtl.models.pooled import CheapSettings
from sedmtl.models.time_pooling import PoolingForm, TimePooling

N_AROUND = 14
"""Frames of the log-mel that `local` averages over, as in pooled: 0.45 s at 32 ms."""


@dataclass(frozen=True)
class FrameSettings(CheapSettings):
    """The options that probe and gru share."""

    time_pooling: PoolingForm = "linear"
    """From frames to clip: linear softmax, the mean, the maximum, the power mean of the odds, or
    learned attention."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The frames alone."""
        return ("frames",)


@dataclass(frozen=True)
class ProbeSettings(FrameSettings):
    """The options of probe."""

    encoder_modules: ClassVar[tuple[str, ...]] = ()

    width: int = 1
    """A probe has no channels: this changes nothing."""

    def build(
        self, n_classes: int, n_frames: int, n_mels: int, frames: FrameInput | None = None
    ) -> nn.Module:
        """The network with weights of 0, from which it learns as from any others."""
        return Probe(n_classes, n_frames, needed(frames), self)


class Probe(nn.Module):
    """Presence of each class in each frame, pooled over time.

    The weights begin at 0: a dimension that never varied in training keeps its 0, whatever comes.

    Args:
        n_classes: C.
        n_frames: T of the log-mel, which the scores are over.
        frames: What comes in.
        settings: Its options.
    """

    def __init__(
        self, n_classes: int, n_frames: int, frames: FrameInput, settings: FrameSettings
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(settings.dropout)
        self.head = FrameHead(frames.n_dims, n_classes, n_frames, frames, settings)
        nn.init.zeros_(self.head.layer.weight)

    def forward(self, frames: Tensor, *, reconstruct: bool = True) -> SedOutput:
        """Score a standardised batch (B, T', D); `reconstruct` is ignored without a decoder."""
        output: SedOutput = self.head(self.dropout(frames))
        return output


class FrameHead(nn.Module):
    """Features of the encoder's frames -> scores over the frames of the log-mel.

    Args:
        n_features: D.
        n_classes: C.
        n_frames: T.
        frames: What the features are over.
        settings: How they are pooled.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        n_frames: int,
        frames: FrameInput,
        settings: FrameSettings,
    ) -> None:
        super().__init__()
        self._input, self._n_frames = frames, n_frames
        self.layer = nn.Linear(n_features, n_classes)
        initialise(self)
        n_around = frames.n_around(N_AROUND)
        self.time_pooling = TimePooling(n_features, n_classes, settings.time_pooling, n_around)

    def forward(self, features: Tensor) -> SedOutput:
        """(B, T', D) -> what all networks give, but for `encoded`."""
        evidence = self.layer(features).float().transpose(1, 2)  # (B, C, T')
        features = features.transpose(1, 2)  # (B, D, T')
        presence, (clip, weights) = self.time_pooling(evidence.sigmoid(), features)
        return SedOutput(
            clip=clip.clamp(0, 1),
            frame=self.at_logmel_frames(presence).clamp(0, 1),
            class_map=self.at_logmel_frames(evidence).unsqueeze(-1),
            time_attention=self._attention(weights),
        )

    def _attention(self, weights: Tensor) -> Tensor:
        """Weights (B, C, T') that sum to 1 -> (B, C, T) that do.

        A weight of one frame alone, as the maximum's, can lie beyond the log-mel's outermost
        centres, where nothing of it is left: the nearest frame has it then.
        """
        over_time = self.at_logmel_frames(weights)
        total = over_time.sum(dim=-1, keepdim=True)
        tiny = torch.finfo(total.dtype).tiny
        lost = (total < tiny) * self._input.nearest(weights, self._n_frames)
        return over_time / total.clamp_min(tiny) + lost

    def at_logmel_frames(self, values: Tensor) -> Tensor:
        """(B, D, T') -> (B, D, T)."""
        return self._input.resample(values, self._n_frames)
