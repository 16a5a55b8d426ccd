"""What a network says about a batch of clips."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class SedOutput(NamedTuple):
    """Scores of a batch and what led to them.

    Attributes:
        clip: (B, C) in [0, 1], the presence of each class in the clip: Z_p2 of equation 15.
        frame: (B, C, T), the first attention step's output: Z_p1 of equation 11. In [0, 1] in the
            released form; unbounded in the form of the equations.
        class_map: (B, C, T, F), the output of the class convolution: Z of equation 2.
        mel_attention: (B, C, T, F), sums to 1 over F: equation 10.
        time_attention: (B, C, T), sums to 1 over T: equation 14.
        reconstruction: (B, T, F), the decoder's log-mel (equation 5), or None if not asked for.
    """

    clip: Tensor
    frame: Tensor
    class_map: Tensor
    mel_attention: Tensor
    time_attention: Tensor
    reconstruction: Tensor | None
