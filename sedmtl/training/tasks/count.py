"""How many events sound in each frame."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from sedmtl.models import SedOutput
from sedmtl.models.heads import CountHead, Sizes
from sedmtl.models.settings import NetworkSettings
from sedmtl.training.batches import Batch
from sedmtl.training.known import POLYPHONY, at_frames
from sedmtl.training.tasks.task import Need, Task, reduced

LEAST = 1e-6
"""Of an expected number: its logarithm is finite."""


class Count(Task):
    """The expected number of events, under half the deviance of the Poisson distribution.

    The mean of a Poisson distribution is a number from 0 without an upper limit, as that of events
    is: no highest count has to be chosen, as for classes of counts, and two where there is one is
    a graver error than nine where there are eight, unlike for squares. The expected deviance is
    least where the prediction is the mean count. It is the negative log-likelihood less its lowest
    value, so that it is 0 at best, which weights that follow losses rely on.
    """

    needs: ClassVar[Need] = "times"
    arrays: ClassVar[tuple[str, ...]] = (POLYPHONY,)

    def __init__(self, network: NetworkSettings, sizes: Sizes) -> None:
        super().__init__(network, sizes)
        self.head = CountHead(network.n_channels)

    def forward(self, output: SedOutput) -> Tensor:
        """(B, T), from 0."""
        expected: Tensor = self.head(output)
        return expected

    def target(self, batch: Batch) -> Tensor:
        """(B, T), events in each frame of the log-mel."""
        return batch.arrays[POLYPHONY].float()

    def loss(self, predicted: Tensor, target: Tensor, reduction: str) -> Tensor:
        """K log(k / m) - k + m of k events where m are expected."""
        count, expected = at_frames(target, predicted.shape[-1]), predicted + LEAST
        loss = torch.xlogy(count, count) - count * expected.log() - count + expected
        return reduced(loss, reduction)
