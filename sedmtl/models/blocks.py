"""The convolution block of encoder and decoder (paper, tables I and III)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F


class ConvBlock(nn.Module):
    """[3x3 convolution, batch norm, ReLU] twice, then 3x3 average pooling of stride 1.

    The numbers of frames and mel bins stay the same: every layer pads by one, and the average
    includes the padding.

    Args:
        n_in: Channels before.
        n_out: Channels after.
        pool: Whether to average at the end. GAP, GMP and GWRP do not.
    """

    def __init__(self, n_in: int, n_out: int, *, pool: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.activation: nn.Module = nn.ReLU(inplace=True)  # saves 240 MB for crnn at batch 24
        self.pool = nn.AvgPool2d(3, stride=1, padding=1) if pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, T, F) -> (B, D', T, F)."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.activation(self.bn2(self.conv2(x)))
        pooled: Tensor = self.pool(x)
        return pooled


def stack_blocks(n_channels: Sequence[int], *, pool: bool = True) -> nn.Sequential:
    """Stack blocks with the given numbers of channels."""
    pairs = pairwise(n_channels)
    return nn.Sequential(*(ConvBlock(n_in, n_out, pool=pool) for n_in, n_out in pairs))


def encode(
    encoder: nn.Sequential, logmel: Tensor, *, with_stages: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(B, T, F) -> the encoding, and stages: the log-mel and the outputs of all but the last block.

    The blocks' outputs are kept only on request: in the paper's network they are as large as the
    encoding.
    """
    x = logmel.unsqueeze(1)
    stages = [x]
    for layer in encoder:
        x = layer(x)
        if with_stages and isinstance(layer, ConvBlock):
            stages.append(x)
    return x, tuple(stages[:-1])


def initialise(network: nn.Module) -> None:
    """He-uniform convolutions and zero biases, as in the recipe."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
