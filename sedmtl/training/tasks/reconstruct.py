"""The paper's auxiliary task: reconstruct the log-mel (section III-B, equation 5)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from sedmtl.models import SedOutput
from sedmtl.models.settings import NetworkSettings
from sedmtl.training.batches import Batch
from sedmtl.training.tasks.task import Task


class Reconstruct(Task):
    """Mean squared error of the network's decoder; the task has no parameters of its own."""

    weight: ClassVar[float] = 0.001

    @classmethod
    def fits(cls, network: type[NetworkSettings]) -> bool:
        """Whether the network has a decoder."""
        return "reconstruct" in network.task_modules

    def forward(self, output: SedOutput) -> Tensor:
        """(B, T, F) output of the decoder."""
        return output.tasks["reconstruct"]

    def target(self, batch: Batch) -> Tensor:
        """(B, T, F) standardised log-mel, the network's input."""
        return batch.logmel

    def loss(self, predicted: Tensor, target: Tensor, reduction: str) -> Tensor:
        """Equation 5."""
        return F.mse_loss(predicted, target, reduction=reduction)
