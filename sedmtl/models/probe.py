"""Probe: a linear layer on each frame of a frozen encoder, and pooling over time.

It has so few weights that a handful of clips per class are enough to train it. Since it only weighs
the encoder's features, it measures what the encoder represents.
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
"""Log-mel frames averaged by `local`, as in pooled: 0.45 s at 32 ms."""


@dataclass(frozen=True)
class FrameSettings(CheapSettings):
    """The options that probe and gru share."""

    time_pooling: PoolingForm = "linear"
    """From frames to clip: linear softmax, the mean, the maximum, the power mean of the odds, or
    learned attention."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Only the encoder's frames."""
        return ("frames",)


@dataclass(frozen=True)
class ProbeSettings(FrameSettings):
    """The options of probe."""

    encoder_modules: ClassVar[tuple[str, ...]] = ()

    width: int = 1
    """Unused: a probe has no channels."""

    def build(
        self, n_classes: int, n_frames: int, n_mels: int, frames: FrameInput | None = None
    ) -> nn.Module:
        """The network, with its weights initialised to 0."""
        return Probe(n_classes, n_frames, needed(frames), self)


class Probe(nn.Module):
    """Presence of each class per frame, pooled over time.

    The weights are initialised to 0, so that a dimension that is constant in training keeps weight
    0 and never affects predictions.

    Args:
        n_classes: C.
        n_frames: T of the log-mel and of the scores.
        frames: Size and timing of the encoder frames.
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
    """Maps features at the encoder's frames to scores at the log-mel's frames.

    Args:
        n_features: D.
        n_classes: C.
        n_frames: T.
        frames: Timing of the encoder frames.
        settings: The network's options.
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
        """(B, T', D) -> the usual output, except `encoded`."""
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
        """Resample weights (B, C, T') to (B, C, T) so that they still sum to 1.

        A weight on a single frame, as with the maximum, can lie beyond the outermost log-mel
        centres and vanish; the nearest log-mel frame gets it then.
        """
        over_time = self.at_logmel_frames(weights)
        total = over_time.sum(dim=-1, keepdim=True)
        tiny = torch.finfo(total.dtype).tiny
        lost = (total < tiny) * self._input.nearest(weights, self._n_frames)
        return over_time / total.clamp_min(tiny) + lost

    def at_logmel_frames(self, values: Tensor) -> Tensor:
        """(B, D, T') -> (B, D, T)."""
        return self._input.resample(values, self._n_frames)
