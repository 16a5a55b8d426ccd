"""Weights of auxiliary task losses relative to the detection loss: fixed, or set by a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, inf
from typing import Literal, cast

import torch
from torch import Tensor, nn

from sedmtl.inference.runs import WEIGHT_RULES
from sedmtl.runtime.errors import SedmtlError

Weight = float | Literal["auto", "dwa"]
"""Weight of a task's loss relative to the detection loss, or the rule in `TaskWeights` for it."""

TEMPERATURE = 2.0
"""Temperature of `dwa`, as published: higher values make the weights more equal."""

LEAST = 1e-12
"""Lower limit of losses in ratios."""

FASTEST = 4.0
"""Upper limit of the ratio of successive losses, which a loss near 0 would make huge."""


def read_weight(task: str, value: object) -> Weight:
    """Read a weight from a file, command line or argument value.

    Raises:
        SedmtlError: The value is not a weight.
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
    """Weights of task losses relative to the detection loss: fixed, or set by one of two rules.

    `auto` follows Kendall, Gal and Cipolla (CVPR 2018): the detection and each `auto` task have a
    learned variance s; the detection contributes L / s + log(s) / 2 to the loss, and a task
    c L / s + log(s) / 2, where c is its `learned_scale`. The paper's alpha is the ratio of a task's
    weight to the detection's.

    `dwa`, dynamic weight averaging, follows Liu, Johns and Davison (CVPR 2019): a task whose loss
    decreases slowly gets more weight. The detection and each `dwa` task get exp(w / 2), where w is
    the ratio of their mean losses in the last two epochs; a task's weight is its value over the
    detection's. (As published, the weights also sum to the number of tasks, but a common factor of
    all losses does not change Adam's steps.) In the first two epochs it is 1. The rule was
    preferred to GradNorm, which balances gradients: that needs a backward pass through the encoder
    per task and step, most of a step on a CPU, and second-order gradients, which distributed
    processes would have to exchange. `dwa` costs nothing and depends only on the record of past
    epochs, so that a resumed run has the same weights.

    Args:
        weights: Weight of each task, or its rule.
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
        """Set the `dwa` weights for an epoch.

        Args:
            before: Mean losses by name, of each past epoch.
            detection: Name of the detection loss.
        """
        if len(before) >= 2:
            second_last, last = before[-2:]
            names = [detection, *self._by_speed]
            ratios = {n: min(last[n] / max(second_last[n], LEAST), FASTEST) for n in names}
            for name in self._by_speed:
                self._given[name] = exp((ratios[name] - ratios[detection]) / TEMPERATURE)

    def forward(self, detection: Tensor, losses: Mapping[str, Tensor]) -> Tensor:
        """Combine the detection loss and the task losses (scalars) into the total loss."""
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
        """Current weight of each task relative to the detection's."""
        alphas = dict(self._given)
        for i, (name, scale) in enumerate(self._scales.items(), start=1):
            ratio = torch.exp(self.log_variance[0] - self.log_variance[i]).detach()
            alphas[name] = (ratio * scale).item()
        return alphas
