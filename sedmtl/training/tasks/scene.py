"""Scene classification: the class of a mixture's background, if the scene corpus has classes."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from sedmtl.models import SedOutput
from sedmtl.models.heads import SceneHead, Sizes
from sedmtl.models.settings import NetworkSettings
from sedmtl.training.batches import Batch
from sedmtl.training.known import SCENE
from sedmtl.training.tasks.task import Task


class Scene(Task):
    """Cross-entropy over scene classes, with one label per clip."""

    arrays: ClassVar[tuple[str, ...]] = (SCENE,)
    learned_scale: ClassVar[float] = 1.0

    def __init__(self, network: NetworkSettings, sizes: Sizes) -> None:
        super().__init__(network, sizes)
        self.head = SceneHead(network.n_channels, sizes.scenes)

    def forward(self, output: SedOutput) -> Tensor:
        """(B, S) logits of scene classes."""
        logits: Tensor = self.head(output)
        return logits

    def target(self, batch: Batch) -> Tensor:
        """(B,) indices of scene classes."""
        return batch.arrays[SCENE].long()

    def loss(self, predicted: Tensor, target: Tensor, reduction: str) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(predicted, target, reduction=reduction)
