"""What a network computes for a batch of clips."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor


class SedOutput(NamedTuple):
    """Scores of a batch and what led to them.

    Attributes:
        clip: (B, C) in [0, 1], the presence of each class in the clip. Of 2APAE: Z_p2, equation 15.
        frame: (B, C, T) in [0, 1], the class over time. Of 2APAE the first attention step's output,
            Z_p1 of equation 11, in the form of the equations through a sigmoid; under the dense
            second step nothing makes it high where the class sounds; before the local one it is
            averaged over neighbouring frames and is the presence of the class. Of GAP and GWRP the
            mask's mean over mel bins, of GMP its maximum, of Atrous the mean class probability.
        class_map: (B, C, T, F), the output of the class convolution: Z of equation 2. Of Atrous
            the log-softmax over classes.
        mel_attention: (B, C, T, F), sums to 1 over F: equation 10. Only 2APAE has it.
        time_attention: (B, C, T), sums to 1 over T: equation 14. Only 2APAE has it.
        tasks: The outputs of auxiliary tasks by name, as far as they were computed.
        encoded: (B, D, T, F), what the encoder gives to all that follows.
    """

    clip: Tensor
    frame: Tensor
    class_map: Tensor
    mel_attention: Tensor | None = None
    time_attention: Tensor | None = None
    tasks: Mapping[str, Tensor] = MappingProxyType({})
    encoded: Tensor | None = None

    @property
    def reconstruction(self) -> Tensor | None:
        """(B, T, F), the decoder's log-mel (equation 5); None if it was not computed."""
        return self.tasks.get("reconstruction")

    @property
    def gated(self) -> Tensor:
        """(B, C, T): the frame scores times their clip's."""
        return self.frame * self.clip.unsqueeze(-1)
