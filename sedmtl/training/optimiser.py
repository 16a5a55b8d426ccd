"""The optimiser and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from sedmtl.training.config import TrainConfig

WARM_UP = 50
"""Steps over which the cosine schedule raises the rate."""


def build_optimiser(
    learned: Iterable[nn.Parameter], config: TrainConfig, device: torch.device
) -> torch.optim.Optimizer:
    """Adam, as in the paper."""
    # One kernel for all weights; on the CPU Adam is a thousandth of a step.
    return torch.optim.Adam(learned, lr=config.lr, fused=device.type == "cuda")


def build_schedule(
    optimiser: torch.optim.Optimizer, config: TrainConfig, n_steps: int
) -> LRScheduler:
    """What changes the learning rate: after each epoch (plateau) or each step (cosine).

    The paper lowers the rate when the held-out score stalls. Here the inner validation decides, or
    the validation-selected epoch would depend on the held-out fold.

    Args:
        optimiser: Has the rate.
        config: Of the run.
        n_steps: Per epoch.
    """
    if config.schedule == "plateau":
        return ReduceLROnPlateau(optimiser, mode="max", factor=0.1, patience=3, threshold=0.0)
    n_all = config.epochs * n_steps
    n_warm = min(WARM_UP, n_all // 2)

    def factor(step: int) -> float:
        if step < n_warm:
            return (step + 1) / n_warm
        return (1 + math.cos(math.pi * (step - n_warm) / max(1, n_all - n_warm))) / 2

    return LambdaLR(optimiser, factor)
