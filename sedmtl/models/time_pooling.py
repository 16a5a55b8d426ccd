"""Time pooling of the cheap networks: from presence per frame to presence per clip."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sedmtl.models.attention_step import Attended
from sedmtl.models.local_step import LocalStep

PoolingForm = Literal["local", "linear", "attention", "mean", "max"]
"""`local`: the power mean of the odds (`LocalStep`). `linear`: linear softmax, the mean of the
presences weighted by themselves (Wang, Li and Metze, arXiv 1810.09050). `attention`: a mean whose
weights, a softmax over time, the network computes from the features of each frame. `mean` and `max`
of the presences."""

N_AROUND = 7
"""Frames averaged by `local`: 0.45 s at 64 ms per frame, as 15 of 32 ms in the paper's network."""


class TimePooling(nn.Module):
    """Pools presence per frame to presence per clip; all forms are position-independent.

    Args:
        n_features: D of each frame.
        n_classes: C.
        form: Form of pooling.
        n_around: Frames averaged by `local`, odd.
    """

    def __init__(
        self, n_features: int, n_classes: int, form: PoolingForm, n_around: int = N_AROUND
    ) -> None:
        super().__init__()
        self.form = form
        if form == "local":
            self.local = LocalStep(n_classes, n_around=n_around)
        elif form == "attention":
            self.attention = nn.Conv1d(n_features, n_classes, 1)

    def forward(self, presence: Tensor, features: Tensor) -> tuple[Tensor, Attended]:
        """Pool over time.

        Args:
            presence: (B, C, T) in [0, 1].
            features: (B, D, T) that the presence was computed from.

        Returns:
            Presence per frame (B, C, T), which `local` averages over neighbouring frames; presence
            per clip (B, C) with the weights (B, C, T), which sum to 1 over T.
        """
        if self.form == "local":
            pooled: tuple[Tensor, Attended] = self.local(presence)
            return pooled
        if self.form == "linear":
            weights = presence / presence.sum(dim=-1, keepdim=True).clamp_min(1e-6)
        elif self.form == "attention":
            weights = self.attention(features).float().softmax(dim=-1)
        elif self.form == "mean":
            weights = torch.full_like(presence, 1 / presence.shape[-1])
        else:
            highest = presence.argmax(dim=-1, keepdim=True)
            weights = torch.zeros_like(presence).scatter(-1, highest, 1.0)
        return presence, Attended((weights * presence).sum(dim=-1), weights)


def at_logmel_frames(scores: Tensor, n_frames: int) -> Tensor:
    """Scores of pooled frames (B, C, T') -> (B, C, n_frames), linear between their centres.

    A pooled frame is centred on the `n_frames // T'` log-mel frames that it was computed from;
    frames cut off by pooling at the end repeat the last score.
    """
    stride = n_frames // scores.shape[-1]
    fine = F.interpolate(scores, scale_factor=stride, mode="linear", align_corners=False)
    return F.pad(fine, (0, n_frames - fine.shape[-1]), mode="replicate")
