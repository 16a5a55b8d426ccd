"""Global pooling of class maps to class scores: average, maximum and weighted rank.

The paper compares against these (section II-C). GWRP is by Kolesnikov and Lampert, with the rank
weight of Kong et al. (TASLP 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GlobalAverage(nn.Module):
    """GAP: the mean over frames and mel bins."""

    def forward(self, mask: Tensor) -> Tensor:
        """(B, C, T, F) -> (B, C)."""
        return mask.mean(dim=(-2, -1))

    def over_mels(self, mask: Tensor) -> Tensor:
        """(B, C, T, F) -> (B, C, T): the score is their mean."""
        return mask.mean(dim=-1)


class GlobalMaximum(nn.Module):
    """GMP: the largest value over frames and mel bins."""

    def forward(self, mask: Tensor) -> Tensor:
        """(B, C, T, F) -> (B, C)."""
        return mask.amax(dim=(-2, -1))

    def over_mels(self, mask: Tensor) -> Tensor:
        """(B, C, T, F) -> (B, C, T): the score is their maximum."""
        return mask.amax(dim=-1)


class GlobalWeightedRank(nn.Module):
    """GWRP: the mean with weight r^k for the k-th largest value; GMP at r = 0, GAP at r = 1.

    Args:
        n_values: T x F, the number of values in a map.
        decay: r.
    """

    def __init__(self, n_values: int, decay: float = 0.9998) -> None:
        super().__init__()
        weights = decay ** torch.arange(n_values, dtype=torch.float64)
        self.register_buffer("weights", (weights / weights.sum()).float(), persistent=False)
        self.weights: Tensor

    def forward(self, mask: Tensor) -> Tensor:
        """(B, C, T, F) -> (B, C)."""
        ranked = mask.flatten(start_dim=2).sort(dim=-1, descending=True).values  # (B, C, T * F)
        return (ranked.float() * self.weights).sum(dim=-1)

    def over_mels(self, mask: Tensor) -> Tensor:
        """(B, C, T, F) -> (B, C, T): the mean, as in Kong et al.

        The weights of a single frame's bins differ by only a percent.
        """
        return mask.mean(dim=-1)


GlobalPooling = GlobalAverage | GlobalMaximum | GlobalWeightedRank
