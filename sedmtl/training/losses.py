"""The multi-task loss (paper, equations 7 and 17), with a given weight or a learned one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sedmtl.models import SedOutput


class Loss(NamedTuple):
    """The loss and its parts, each a scalar."""

    total: Tensor
    detection: Tensor
    reconstruction: Tensor


class Uncertainty(nn.Module):
    """The weight of the auxiliary task, learned (Kendall, Gal and Cipolla, CVPR 2018).

    Each task has a variance: the loss is L1 / s1 + log(s1) / 2 + L2 / (2 s2) + log(s2) / 2, with
    s1 of the classification and s2 of the regression. What the paper calls alpha is the ratio of
    the two weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.zeros(2))

    def forward(self, detection: Tensor, reconstruction: Tensor) -> Tensor:
        """Two scalars -> one."""
        weights = torch.exp(-self.log_variance)
        weighted = weights[0] * detection + weights[1] / 2 * reconstruction
        return weighted + self.log_variance.sum() / 2

    @property
    def alpha(self) -> Tensor:
        """Weight of the reconstruction over that of the detection, a scalar."""
        return torch.exp(self.log_variance[0] - self.log_variance[1]).detach() / 2


def multitask_loss(
    output: SedOutput, target: Tensor, logmel: Tensor, alpha: float | Uncertainty
) -> Loss:
    """Binary cross-entropy of the clip scores + alpha x mean squared error of the log-mel.

    Args:
        output: Of the network.
        target: (B, C) of 0 and 1.
        logmel: (B, T, F), what the network was given: standardised.
        alpha: Weight of the auxiliary task, given or learned. Without a reconstruction its part
            is 0.
    """
    # One of several processes may have no clip of a batch: a sum over nothing is 0, a mean NaN.
    reduction = "mean" if len(target) else "sum"
    clip = output.clip.float().clamp(0, 1)
    # On a GPU a NaN in here would trip an assertion that ends the process; this way it comes out
    # as a NaN loss, which the loop explains.
    detection = F.binary_cross_entropy(clip.nan_to_num(0.5), target, reduction=reduction)
    detection = detection + 0 * clip.detach().sum()
    if output.reconstruction is None:
        return Loss(detection, detection, detection.new_zeros(()))
    reconstruction = F.mse_loss(output.reconstruction.float(), logmel, reduction=reduction)
    if isinstance(alpha, Uncertainty):
        return Loss(alpha(detection, reconstruction), detection, reconstruction)
    return Loss(detection + alpha * reconstruction, detection, reconstruction)


class Objective(nn.Module):
    """A network together with its loss: one module that holds all that learns.

    Args:
        network: What is trained.
        alpha: Weight of the auxiliary task, given or learned.
        reconstruct: Whether the auxiliary task takes part.
        in_bfloat16: Whether to compute convolutions and dense layers in it.
    """

    def __init__(
        self, network: nn.Module, alpha: float | Uncertainty, reconstruct: bool, in_bfloat16: bool
    ) -> None:
        super().__init__()
        self.network = network
        self.alpha = alpha
        self.reconstruct = reconstruct
        self.in_bfloat16 = in_bfloat16

    def forward(self, logmel: Tensor, target: Tensor) -> Loss:
        """(B, T, F) standardised, (B, C) of 0 and 1 -> the loss of the batch."""
        return multitask_loss(self.run(logmel, self.reconstruct), target, logmel, self.alpha)

    def run(self, logmel: Tensor, reconstruct: bool) -> SedOutput:
        """(B, T, F), standardised -> what the network says."""
        with torch.autocast(logmel.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            output: SedOutput = self.network(logmel, reconstruct=reconstruct)
        return output
