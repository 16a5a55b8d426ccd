"""The output of a network for a batch of clips."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor


class SedOutput(NamedTuple):
    """Scores of a batch and the maps they were computed from.

    Attributes:
        clip: (B, C) in [0, 1], the presence of each class in the clip. 2APAE: Z_p2, equation 15.
        frame: (B, C, T) in [0, 1], class scores over time. 2APAE: the first attention step's
            output, Z_p1 of equation 11, passed through a sigmoid in the form `equations`. With the
            dense second step, it need not be high where the class is active; with the local one, it
            is averaged over neighbouring frames and is the presence of the class. GAP and GWRP: the
            mask's mean over mel bins. GMP: its maximum. Atrous: the mean class probability.
        class_map: (B, C, T, F), the output of the class convolution: Z of equation 2. Atrous: the
            log-softmax over classes. Fewer frames and mel bins, here and below, if the network
            pools.
        mel_attention: (B, C, T, F), sums to 1 over F: equation 10. Only 2APAE and pooled.
        time_attention: (B, C, T), sums to 1 over T: equation 14. Only 2APAE and the cheap networks.
        tasks: The outputs of the auxiliary tasks that were computed, by name.
        encoded: (B, D, T, F), the encoder's output.
        stages: The input log-mel (B, 1, T, F), and the outputs before pooling of all encoder blocks
            but the last: (B, D, T, F) for the first, then fewer frames and bins. Only on request,
            and only for networks with `NetworkSettings.stage_channels`.
    """

    clip: Tensor
    frame: Tensor
    class_map: Tensor
    mel_attention: Tensor | None = None
    time_attention: Tensor | None = None
    tasks: Mapping[str, Tensor] = MappingProxyType({})
    encoded: Tensor | None = None
    stages: tuple[Tensor, ...] = ()

    @property
    def reconstruction(self) -> Tensor | None:
        """(B, T, F), the decoder's log-mel (equation 5); None if it was not computed."""
        return self.tasks.get("reconstruct")

    @property
    def gated(self) -> Tensor:
        """(B, C, T): the frame scores times the clip score."""
        return self.frame * self.clip.unsqueeze(-1)
