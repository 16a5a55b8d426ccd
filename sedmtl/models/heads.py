"""Small heads on the shared encoder, for auxiliary tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from sedmtl.models.class_masks import ClassMasks
from sedmtl.models.denoiser import Denoiser
from sedmtl.models.output import SedOutput
from sedmtl.models.settings import NetworkSettings
from sedmtl.models.time_pooling import at_logmel_frames
from sedmtl.runtime.errors import SedmtlError


class Sizes(NamedTuple):
    """Sizes of the data that a head is built for.

    Attributes:
        n_classes: C.
        n_frames: T of the log-mel.
        n_mels: F.
        scenes: Scene classes, if known.
    """

    n_classes: int
    n_frames: int
    n_mels: int
    scenes: tuple[str, ...] = ()


class FrameHead(nn.Module):
    """A value per frame: a linear layer on the encoding's mean over mel bins.

    Args:
        n_channels: D of the encoding.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv1d(n_channels, 1, 1)

    def forward(self, output: SedOutput) -> Tensor:
        """(B, T) values, with T as in the frame scores."""
        over_mels = _encoded(output).mean(dim=-1)  # (B, D, T')
        return at_logmel_frames(self.layer(over_mels), output.frame.shape[-1])[:, 0]


class CountHead(FrameHead):
    """A non-negative value per frame."""

    def forward(self, output: SedOutput) -> Tensor:
        """(B, T) expected numbers of events."""
        # Softplus, as the usual exponential link might overflow early in training.
        return F.softplus(super().forward(output).float())


class SceneHead(nn.Module):
    """Logits of scene classes per clip: a linear layer on the encoding's mean.

    Args:
        n_channels: D of the encoding.
        scenes: Names of the S classes.
    """

    def __init__(self, n_channels: int, scenes: tuple[str, ...]) -> None:
        super().__init__()
        self.scenes = scenes
        self.layer = nn.Linear(n_channels, len(scenes))

    def forward(self, output: SedOutput) -> Tensor:
        """(B, S)."""
        scores: Tensor = self.layer(_encoded(output).mean(dim=(-2, -1)))
        return scores


def _encoded(output: SedOutput) -> Tensor:
    if output.encoded is None:
        raise SedmtlError("this network has no encoding for tasks to read: leave --task out")
    return output.encoded


HEADS: Mapping[str, Callable[[NetworkSettings, Sizes], nn.Module]] = {
    "denoise": lambda network, _: Denoiser(network),
    "separate": lambda network, sizes: ClassMasks(network, sizes.n_classes),
    "count": lambda network, _: CountHead(network.n_channels),
    "active": lambda network, _: FrameHead(network.n_channels),
    "scene": lambda network, sizes: SceneHead(network.n_channels, sizes.scenes),
}
"""Builders of the heads that a run saves because their outputs are used, by task name."""


def build_head(name: str, network: NetworkSettings, sizes: Sizes) -> nn.Module:
    """Build a head with fresh weights."""
    return HEADS[name](network, sizes)
