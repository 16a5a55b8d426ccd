"""GAP, GMP and GWRP: one encoder without pooling inside, and a global pooling at its end."""

from __future__ import annotations

from torch import Tensor, nn

from sedmtl.models.blocks import initialise, stack_blocks
from sedmtl.models.output import SedOutput
from sedmtl.models.pooling import GlobalPooling


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

    def forward(self, logmel: Tensor, *, reconstruct: bool = True) -> SedOutput:  # noqa: ARG002
        """Score a batch (B, T, F), standardised. There is no decoder to `reconstruct`."""
        class_map = self.class_conv(self.encoder(logmel.unsqueeze(1)))  # (B, C, T, F)
        mask = class_map.sigmoid()
        clip, frame = self.pooling(mask), self.pooling.over_mels(mask)
        return SedOutput(clip=clip, frame=frame, class_map=class_map)
