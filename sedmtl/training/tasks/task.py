"""The interface of auxiliary tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from sedmtl.models import SedOutput
from sedmtl.models.heads import Sizes
from sedmtl.models.settings import NetworkSettings
from sedmtl.training.batches import Batch

Need = Literal["labels", "times", "stems"]
"""What targets are made from: clip labels, event times, or the isolated audio of events."""


class Task(nn.Module, ABC):
    """An auxiliary task: its parameters, target and loss.

    A task's own parameters read the network's output and are trained with the network; detection
    does not need them.

    Attributes:
        needs: What the target is made from. A run that uses more than labels is no longer weakly
            supervised, and is marked as such.
        weight: Default weight of the loss.
        reads_stages: Whether it reads `SedOutput.stages`.
        arrays: Arrays that the target needs in addition to the log-mel: of the feature store, or
            of `training.known`.
        learned_scale: Factor of the loss if its weight is learned: 1/2 for regression, 1 for
            classification (Kendall, Gal and Cipolla, CVPR 2018).
    """

    needs: ClassVar[Need] = "labels"
    weight: ClassVar[float] = 0.1
    reads_stages: ClassVar[bool] = False
    arrays: ClassVar[tuple[str, ...]] = ()
    learned_scale: ClassVar[float] = 0.5

    def __init__(self, network: NetworkSettings, sizes: Sizes) -> None:  # noqa: ARG002
        """Create the task's parameters.

        Args:
            network: Settings of the network that the task is added to.
            sizes: Sizes of the training data.
        """
        super().__init__()

    @classmethod
    def fits(cls, network: type[NetworkSettings]) -> bool:
        """Whether a network supports the task, by having the encoding that it reads."""
        if cls.reads_stages:
            return bool(network.stage_factors)
        return bool(network.encoder_modules)

    @abstractmethod
    def forward(self, output: SedOutput) -> Tensor:
        """Predict from the network's output."""

    @abstractmethod
    def target(self, batch: Batch) -> Any:
        """The target of the prediction, in the form that `loss` takes."""

    @abstractmethod
    def loss(self, predicted: Tensor, target: Any, reduction: str) -> Tensor:
        """The non-negative loss; a scalar unless `reduction` is `none`.

        Args:
            predicted: The prediction, in float32.
            target: As returned by `target`.
            reduction: `mean`, `sum` for an empty batch, or `none` for multi-window recordings,
                which returns a tensor (W, …).
        """


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """Reduce an elementwise loss as `Task.loss` should return it."""
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def mean_where(where: Tensor, values: Tensor) -> Tensor:
    """Mean of each clip's values over a mask: (B, …), (B, …) -> (B,); 0 where the mask is empty."""
    return (values * where).flatten(1).sum(dim=1) / where.flatten(1).sum(dim=1).clamp_min(1)
