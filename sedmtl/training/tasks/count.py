"""Polyphony: the number of active events per frame."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from sedmtl.models import SedOutput
from sedmtl.models.heads import CountHead, Sizes
from sedmtl.models.settings import NetworkSettings
from sedmtl.training.batches import Batch
from sedmtl.training.known import POLYPHONY, at_scores
from sedmtl.training.tasks.task import Need, Task, reduced

LEAST = 1e-6
"""Offset of the expected count, which keeps its logarithm finite."""


class Count(Task):
    """Poisson regression of the event count; the loss is half the Poisson deviance.

    Unlike classification of counts, this needs no maximum count; unlike squared error, it treats
    predicting two for one as a larger error than nine for eight. The expected deviance is minimal
    at the mean count. It is the negative log-likelihood minus its minimum, so that the best loss is
    0, which the weighting rules rely on.
    """

    needs: ClassVar[Need] = "times"
    arrays: ClassVar[tuple[str, ...]] = (POLYPHONY,)

    def __init__(self, network: NetworkSettings, sizes: Sizes) -> None:
        super().__init__(network, sizes)
        self.head = CountHead(network.n_channels)

    def forward(self, output: SedOutput) -> Tensor:
        """(B, T) expected counts, non-negative."""
        expected: Tensor = self.head(output)
        return expected

    def target(self, batch: Batch) -> Tensor:
        """(B, T) counts per log-mel frame."""
        return batch.arrays[POLYPHONY].float()

    def loss(self, predicted: Tensor, target: Tensor, reduction: str) -> Tensor:
        """Half the Poisson deviance: k log(k / m) - k + m for a count k and its expectation m."""
        count, expected = at_scores(target, predicted.shape[-1]), predicted + LEAST
        loss = torch.xlogy(count, count) - count * expected.log() - count + expected
        return reduced(loss, reduction)
