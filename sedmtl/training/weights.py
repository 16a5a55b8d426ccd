"""The weights of auxiliary tasks beside the detection: given, or found by a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, inf
from typing import Literal, cast

import torch
from torch import Tensor, nn

from sedmtl.inference.runs import WEIGHT_RULES
from sedmtl.runtime.errors import SedmtlError

Weight = float | Literal["auto", "dwa"]
"""Of a task's loss beside the detection's, or the rule of `TaskWeights` that finds it."""

TEMPERATURE = 2.0
"""Of `dwa`, as published: the higher, the more alike the weights."""

LEAST = 1e-12
"""Below it a loss counts as this."""

FASTEST = 4.0
"""Ratio of a loss to the one before that counts at most: one that was nearly 0 would rule all."""


def read_weight(task: str, value: object) -> Weight:
    """A weight from what a file, a command or a caller says.

    Raises:
        SedmtlError: It is none.
    """
    if value in WEIGHT_RULES:
        return cast(Weight, value)
    try:
        weight = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        weight = -inf
    if isinstance(value, bool) or not 0 <= weight < inf:
        raise SedmtlError(
            f"the weight of task {task} should be a number from 0, {' or '.join(WEIGHT_RULES)}, "
            f"found {value!r}"
        )
    return weight


class TaskWeights(nn.Module):
    """The weights of auxiliary tasks beside the detection: numbers, or found by one of two rules.

    `auto` follows Kendall, Gal and Cipolla (CVPR 2018): the detection and each such task have a
    variance, and the loss is L / s + log(s) / 2 of the detection and c L / s + log(s) / 2 of each
    task, where c is its `learned_scale`. What the paper calls alpha is the ratio of a task's weight
    to the detection's.

    `dwa`, dynamic weight averaging, follows Liu, Johns and Davison (CVPR 2019): a task whose loss
    falls slowly weighs more. Its weight in an epoch is exp(w / 2), where w is its mean loss of the
    epoch before over that of the one before that; the detection has such a weight, too, and this
    is a task's over the detection's. (As published, the weights also sum to the number of tasks. A
    common factor of all losses changes no step of Adam.) In the first two epochs it is 1. The rule
    was preferred to GradNorm, which balances gradients: that needs a backward pass through the
    encoder for each task in each step, most of a step on a CPU, and gradients of gradients, which
    processes that train together would have to exchange. This one costs nothing, and follows from
    the record of the epochs, so that a resumed run has the same weights.

    Args:
        weights: Of each task, or its rule.
        scales: `learned_scale` of each task.
    """

    def __init__(self, weights: Mapping[str, Weight], scales: Mapping[str, float]) -> None:
        super().__init__()
        self._given = {n: float(w) for n, w in weights.items() if not isinstance(w, str)}
        self._by_speed = [name for name, weight in weights.items() if weight == "dwa"]
        self._given |= dict.fromkeys(self._by_speed, 1.0)
        self._scales = {name: scales[name] for name, weight in weights.items() if weight == "auto"}
        if self._scales:
            self.log_variance = nn.Parameter(torch.zeros(1 + len(self._scales)))

    def follow(self, before: Sequence[Mapping[str, float]], detection: str) -> None:
        """Set the weights of `dwa` for an epoch.

        Args:
            before: The mean losses by name of each epoch so far.
            detection: Name of the detection's.
        """
        if len(before) >= 2:
            second_last, last = before[-2:]
            names = [detection, *self._by_speed]
            ratios = {n: min(last[n] / max(second_last[n], LEAST), FASTEST) for n in names}
            for name in self._by_speed:
                self._given[name] = exp((ratios[name] - ratios[detection]) / TEMPERATURE)

    def forward(self, detection: Tensor, losses: Mapping[str, Tensor]) -> Tensor:
        """The loss of the detection and those of the tasks, scalars -> one."""
        total = detection
        if self._scales:
            weights = torch.exp(-self.log_variance)
            total = weights[0] * detection
            for weight, (name, scale) in zip(weights[1:], self._scales.items(), strict=True):
                total = total + weight * scale * losses[name]
            total = total + self.log_variance.sum() / 2
        for name, given in self._given.items():
            total = total + given * losses[name]
        return total

    def alphas(self) -> dict[str, float]:
        """Weight of each task over that of the detection, as they are now."""
        alphas = dict(self._given)
        for i, (name, scale) in enumerate(self._scales.items(), start=1):
            ratio = torch.exp(self.log_variance[0] - self.log_variance[i]).detach()
            alphas[name] = (ratio * scale).item()
        return alphas
