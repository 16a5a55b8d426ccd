"""Sound activity per frame: whether any event of any class is active."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from sedmtl.models import SedOutput
from sedmtl.models.heads import FrameHead, Sizes
from sedmtl.models.settings import NetworkSettings
from sedmtl.training.batches import Batch
from sedmtl.training.known import POLYPHONY, at_scores
from sedmtl.training.tasks.task import Need, Task


class Active(Task):
    """Binary cross-entropy with the activity of the labelled events."""

    needs: ClassVar[Need] = "times"
    arrays: ClassVar[tuple[str, ...]] = (POLYPHONY,)
    learned_scale: ClassVar[float] = 1.0

    def __init__(self, network: NetworkSettings, sizes: Sizes) -> None:
        super().__init__(network, sizes)
        self.head = FrameHead(network.n_channels)

    def forward(self, output: SedOutput) -> Tensor:
        """(B, T) logits."""
        logits: Tensor = self.head(output)
        return logits

    def target(self, batch: Batch) -> Tensor:
        """(B, T) activity per log-mel frame, 0 or 1."""
        return (batch.arrays[POLYPHONY] > 0).float()

    def loss(self, predicted: Tensor, target: Tensor, reduction: str) -> Tensor:
        """Binary cross-entropy."""
        active = at_scores(target, predicted.shape[-1])
        return F.binary_cross_entropy_with_logits(predicted, active, reduction=reduction)
