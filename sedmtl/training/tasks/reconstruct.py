"""The paper's auxiliary task: the log-mel from the shared encoding (section III-B, equation 5)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from sedmtl.models import SedOutput
from sedmtl.models.settings import NetworkSettings
from sedmtl.training.batches import Batch
from sedmtl.training.tasks.task import Task


class Reconstruct(Task):
    """Mean squared error of the network's own decoder; the task itself learns nothing."""

    weight: ClassVar[float] = 0.001

    @classmethod
    def fits(cls, network: type[NetworkSettings]) -> bool:
        """Whether the network has the decoder."""
        return "reconstruct" in network.task_modules

    def forward(self, output: SedOutput) -> Tensor:
        """(B, T, F), what the decoder made."""
        return output.tasks["reconstruct"]

    def target(self, batch: Batch) -> Tensor:
        """(B, T, F), what the network was given: the standardised log-mel."""
        return batch.logmel

    def loss(self, predicted: Tensor, target: Tensor, reduction: str) -> Tensor:
        """Equation 5."""
        return F.mse_loss(predicted, target, reduction=reduction)
