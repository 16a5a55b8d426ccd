"""What an auxiliary task is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from sedmtl.models import SedOutput
from sedmtl.models.heads import Sizes
from sedmtl.models.settings import NetworkSettings
from sedmtl.training.batches import Batch

Need = Literal["labels", "times", "stems"]
"""What a target is made from: labels of whole clips; when each event sounds; the events alone."""


class Task(nn.Module, ABC):
    """One auxiliary task: what it adds to the network, its target, its loss.

    What a task adds is its own parameters: they read the network's output, they are trained with
    the network, and detection does without them.

    Attributes:
        needs: What the target is made from. A run with more than labels is no longer weakly
            supervised, and is marked.
        weight: Of the loss, where the task is asked for without one.
        reads_stages: Whether it reads `SedOutput.stages`.
        arrays: Arrays that the target needs beside the log-mel: of the feature store, or of
            `training.known`.
        learned_scale: Factor of the loss where its weight is learned: 1/2 for a regression, 1 for
            a classification (Kendall, Gal and Cipolla, CVPR 2018).
    """

    needs: ClassVar[Need] = "labels"
    weight: ClassVar[float] = 0.1
    reads_stages: ClassVar[bool] = False
    arrays: ClassVar[tuple[str, ...]] = ()
    learned_scale: ClassVar[float] = 0.5

    def __init__(self, network: NetworkSettings, sizes: Sizes) -> None:  # noqa: ARG002
        """Make the task's own parameters.

        Args:
            network: Of the network that the task is added to.
            sizes: Of what it is trained on.
        """
        super().__init__()

    @classmethod
    def fits(cls, network: type[NetworkSettings]) -> bool:
        """Whether a network can have the task: it encodes what the task reads."""
        if cls.reads_stages:
            return bool(network.stage_factors)
        return bool(network.encoder_modules)

    @abstractmethod
    def forward(self, output: SedOutput) -> Tensor:
        """The task's prediction from what the network computed."""

    @abstractmethod
    def target(self, batch: Batch) -> Any:
        """What the prediction should be, in a form that `loss` takes."""

    @abstractmethod
    def loss(self, predicted: Tensor, target: Any, reduction: str) -> Tensor:
        """The loss, a scalar unless `reduction` is `none`; it is never below 0.

        Args:
            predicted: In float32.
            target: As `target` returns it.
            reduction: `mean`, or `sum` of a batch without clips. `none` of recordings in several
                rows: a tensor (W, …), of which the mean is taken.
        """


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """A loss by element as `Task.loss` returns it."""
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def mean_where(where: Tensor, values: Tensor) -> Tensor:
    """The mean of each clip's values where they count: (B, …), (B, …) -> (B,); 0 of none."""
    return (values * where).flatten(1).sum(dim=1) / where.flatten(1).sum(dim=1).clamp_min(1)
