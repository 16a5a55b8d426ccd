"""Two-step attention: over mel bins, then over frames (paper, section III-C, equations 8-15)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from sedmtl.models.attention_step import AttentionForm, AttentionStep
from sedmtl.models.local_step import LocalStep

TimeAttention = Literal["dense", "local"]
"""The second step: `dense` is the paper's; `local` ignores positions and takes any length."""


class TwoSteps(NamedTuple):
    """The outputs of both steps.

    Attributes:
        frame: (B, C, T) in [0, 1]: the first step's output; presence if the second step is local.
        mel_weights: (B, C, T, F), sum to 1 over F.
        clip: (B, C) in [0, 1].
        time_weights: (B, C, T), sum to 1 over T.
    """

    frame: Tensor
    mel_weights: Tensor
    clip: Tensor
    time_weights: Tensor


class TwoStepAttention(nn.Module):
    """Computes scores per frame and per clip from class maps.

    In the form `released`, scores are weighted means of sigmoids and lie in [0, 1] except for
    rounding. In the form `equations`, the classification branch is linear and leaves [0, 1]: a
    sigmoid, which preserves order, is applied to frame scores. Clip scores are clamped in both.
    """

    def __init__(
        self, n_classes: int, n_frames: int, n_mels: int, form: AttentionForm, time: TimeAttention
    ) -> None:
        super().__init__()
        self.form = form
        self.over_mels = AttentionStep(n_mels, form)
        self.over_time: AttentionStep | LocalStep = (
            LocalStep(n_classes) if time == "local" else AttentionStep(n_frames, form)
        )

    def forward(self, class_map: Tensor) -> TwoSteps:
        """(B, C, T, F) -> scores and weights."""
        first, mel_weights = self.over_mels(class_map)  # (B, C, T), (B, C, T, F)
        frame = first if self.form == "released" else first.sigmoid()
        if isinstance(self.over_time, LocalStep):
            frame, (clip, time_weights) = self.over_time(frame)
        else:
            clip, time_weights = self.over_time(first)
        return TwoSteps(frame, mel_weights, torch.clamp(clip, 0, 1), time_weights)
