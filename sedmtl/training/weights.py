"""The weights of auxiliary tasks beside the detection: given, or found by a rule."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Literal

import torch
from torch import Tensor, nn

from sedmtl.runtime.errors import SedmtlError

Weight = float | Literal["auto"]
"""Of a task's loss beside the detection's; `auto` learns it."""


def read_weight(task: str, value: object) -> Weight:
    """A weight from what a file, a command or a caller says.

    Raises:
        SedmtlError: It is none.
    """
    if value == "auto":
        return "auto"
    try:
        weight = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        weight = -inf
    if isinstance(value, bool) or not 0 <= weight < inf:
        raise SedmtlError(
            f"the weight of task {task} should be a number from 0, or 'auto', found {value!r}"
        )
    return weight


class TaskWeights(nn.Module):
    """The weights of auxiliary tasks beside the detection, given or learned.

    Learned ones follow Kendall, Gal and Cipolla (CVPR 2018): the detection and each such task have
    a variance, and the loss is L / s + log(s) / 2 of the detection and c L / s + log(s) / 2 of
    each task, where c is its `learned_scale`. What the paper calls alpha is the ratio of a task's
    weight to the detection's.

    Args:
        weights: Of each task, or `auto`.
        scales: `learned_scale` of each task.
    """

    def __init__(self, weights: Mapping[str, Weight], scales: Mapping[str, float]) -> None:
        super().__init__()
        self._given = {name: weight for name, weight in weights.items() if weight != "auto"}
        self._scales = {name: scales[name] for name in weights if name not in self._given}
        if self._scales:
            self.log_variance = nn.Parameter(torch.zeros(1 + len(self._scales)))

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
        alphas = {name: float(weight) for name, weight in self._given.items()}
        for i, (name, scale) in enumerate(self._scales.items(), start=1):
            ratio = torch.exp(self.log_variance[0] - self.log_variance[i]).detach()
            alphas[name] = (ratio * scale).item()
        return alphas
