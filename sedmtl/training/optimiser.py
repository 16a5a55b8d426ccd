"""The optimiser and its learning rate schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from sedmtl.training.config import TrainConfig

WARM_UP = 50
"""Warm-up steps of the cosine schedule."""


def build_optimiser(
    learned: Iterable[nn.Parameter], config: TrainConfig, device: torch.device
) -> torch.optim.Optimizer:
    """Adam, as in the paper."""
    # Fused: one kernel for all weights. On the CPU, Adam takes a thousandth of a step.
    return torch.optim.Adam(learned, lr=config.lr, fused=device.type == "cuda")


def build_schedule(
    optimiser: torch.optim.Optimizer, config: TrainConfig, n_steps: int
) -> LRScheduler:
    """Build the learning rate schedule, stepped per epoch (plateau) or per step (cosine).

    The paper lowers the rate when the held-out score stalls. Here inner validation decides;
    otherwise the validation-selected epoch would depend on the held-out fold.

    Args:
        optimiser: The optimiser to control.
        config: The run.
        n_steps: Steps per epoch.
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
