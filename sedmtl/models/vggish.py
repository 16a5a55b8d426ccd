"""GAP, GMP and GWRP: an encoder without pooling, followed by a global pooling."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from sedmtl.models.blocks import initialise, stack_blocks
from sedmtl.models.frame_input import FrameInput
from sedmtl.models.output import SedOutput
from sedmtl.models.pooling import GlobalAverage, GlobalMaximum, GlobalPooling, GlobalWeightedRank
from sedmtl.models.settings import NetworkSettings


@dataclass(frozen=True)
class VggishSettings(NetworkSettings):
    """The options that GAP, GMP and GWRP share."""

    @property
    def n_channels(self) -> int:
        """Channels of the last block."""
        return 4 * self.width


@dataclass(frozen=True)
class GapSettings(VggishSettings):
    """The options of GAP."""

    def build(
        self, n_classes: int, n_frames: int, n_mels: int, frames: FrameInput | None = None
    ) -> nn.Module:
        """The network with fresh weights."""
        return Vggish(n_classes, GlobalAverage(), self.width)


@dataclass(frozen=True)
class GmpSettings(VggishSettings):
    """The options of GMP."""

    def build(
        self, n_classes: int, n_frames: int, n_mels: int, frames: FrameInput | None = None
    ) -> nn.Module:
        """The network with fresh weights."""
        return Vggish(n_classes, GlobalMaximum(), self.width)


@dataclass(frozen=True)
class GwrpSettings(VggishSettings):
    """The options of GWRP."""

    def build(
        self, n_classes: int, n_frames: int, n_mels: int, frames: FrameInput | None = None
    ) -> nn.Module:
        """The network with fresh weights."""
        return Vggish(n_classes, GlobalWeightedRank(n_frames * n_mels), self.width)


class Vggish(nn.Module):
    """The benchmark of Kong et al. (TASLP 2019): a mask per class, pooled to a score.

    Args:
        n_classes: C.
        pooling: From (B, C, T, F) to (B, C), and over mel bins alone to (B, C, T).
        width: Channels of the first block; the others have 2, 4 and 4 times as many.
    """

    def __init__(self, n_classes: int, pooling: GlobalPooling, width: int = 32) -> None:
        super().__init__()
        channels = [width, 2 * width, 4 * width, 4 * width]
        self.encoder = stack_blocks([1, *channels], pool=False)
        self.class_conv = nn.Conv2d(channels[-1], n_classes, 1)
        self.pooling = pooling
        initialise(self)

    def forward(self, logmel: Tensor, *, reconstruct: bool = True) -> SedOutput:
        """Score a standardised batch (B, T, F); `reconstruct` is ignored without a decoder."""
        encoded = self.encoder(logmel.unsqueeze(1))  # (B, D, T, F)
        class_map = self.class_conv(encoded)  # (B, C, T, F)
        mask = class_map.sigmoid()
        clip, frame = self.pooling(mask), self.pooling.over_mels(mask)
        return SedOutput(clip=clip, frame=frame, class_map=class_map, encoded=encoded)
