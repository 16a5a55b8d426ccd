"""What an auxiliary task is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from sedmtl.models import SedOutput
from sedmtl.models.settings import NetworkSettings
from sedmtl.store import Store
from sedmtl.training.batches import Batch


class Task(nn.Module, ABC):
    """One auxiliary task: what it adds to the network, its target, its loss.

    What a task adds is its own parameters: they read the network's output, they are trained with
    the network, and they stay behind when it is used. A target that is in no array of the store
    (events, scenes) is looked up by `Batch.rows`, in tables that the task takes from the store.

    Attributes:
        arrays: Arrays of the store that the target needs, beside the log-mel.
        learned_scale: Factor of the loss where its weight is learned: 1/2 for a regression, 1 for
            a classification (Kendall, Gal and Cipolla, CVPR 2018).
    """

    arrays: ClassVar[tuple[str, ...]] = ()
    learned_scale: ClassVar[float] = 0.5

    def __init__(self, network: NetworkSettings, store: Store | None) -> None:  # noqa: ARG002
        """Make the task's own parameters.

        Args:
            network: Of the network that the task is added to.
            store: What is trained on; None where only the cost of a network is measured.
        """
        super().__init__()

    @abstractmethod
    def forward(self, output: SedOutput) -> Tensor:
        """The task's prediction from what the network computed."""

    @abstractmethod
    def target(self, batch: Batch) -> Tensor:
        """What the prediction should be."""

    @abstractmethod
    def loss(self, predicted: Tensor, target: Tensor, reduction: str) -> Tensor:
        """The loss, a scalar unless `reduction` is `none`.

        Args:
            predicted: In float32.
            target: As `target` returns it.
            reduction: `mean`, or `sum` of a batch without clips. `none` of recordings in several
                rows: a tensor (W, …), of which the mean is taken.
        """
