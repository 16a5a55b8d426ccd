"""The multi-task loss (paper, equations 7 and 17)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from sedmtl.models import SedOutput


class Loss(NamedTuple):
    """The loss and its parts, each a scalar."""

    total: Tensor
    detection: Tensor
    reconstruction: Tensor


def multitask_loss(output: SedOutput, target: Tensor, logmel: Tensor, alpha: float) -> Loss:
    """Binary cross-entropy of the clip scores + alpha x mean squared error of the log-mel.

    Args:
        output: Of the network.
        target: (B, C) of 0 and 1.
        logmel: (B, T, F), what the network was given: standardised.
        alpha: Weight of the auxiliary task. Without a reconstruction its part is 0.
    """
    clip = output.clip.float().clamp(0, 1)
    # On a GPU a NaN in here would trip an assertion that ends the process; this way it comes out
    # as a NaN loss, which the loop explains.
    detection = F.binary_cross_entropy(clip.nan_to_num(0.5), target) + 0 * clip.detach().sum()
    if output.reconstruction is None:
        return Loss(detection, detection, detection.new_zeros(()))
    reconstruction = F.mse_loss(output.reconstruction.float(), logmel)
    return Loss(detection + alpha * reconstruction, detection, reconstruction)
