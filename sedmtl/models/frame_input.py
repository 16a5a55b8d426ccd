"""Frames of a frozen encoder as network input: their size and timing.

They have their own rate, but the output of all networks is over the frames of the log-mel, so that
later stages need not know the network's inputs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sedmtl.runtime.errors import SedmtlError


class FrameInput(NamedTuple):
    """Size and timing of encoder frames (B, T', D) relative to the log-mel (B, T, F) of a clip.

    Attributes:
        n_dims: D.
        first: Start of the first log-mel frame, in encoder frames.
        step: Length of a log-mel frame, in encoder frames.
    """

    n_dims: int
    first: float
    step: float

    def resample(self, values: Tensor, n_out: int, n_pooled: int = 1) -> Tensor:
        """Resample (B, D, T') at the encoder's frames to (B, D, n_out) at the log-mel's.

        Interpolates linearly between the centres of encoder frames, with the ends repeated. If the
        new frames are longer, averages with a triangular window of their length. Constants are
        preserved.

        Args:
            values: Values over time.
            n_out: Number of new frames, starting where the log-mel starts.
            n_pooled: Log-mel frames per new frame.
        """
        step, n_in = self.step * n_pooled, values.shape[-1]
        number = torch.arange(n_out, device=values.device, dtype=torch.float32)
        centre = (self.first + (number + 0.5) * step - 0.5).clamp(0, n_in - 1)
        source = torch.arange(n_in, device=values.device, dtype=torch.float32)
        weight = (1 - (centre[:, None] - source).abs() / max(step, 1.0)).relu()  # (n_out, T')
        weight = weight / weight.sum(dim=1, keepdim=True)
        return values @ weight.T.to(values.dtype)

    def nearest(self, values: Tensor, n_out: int) -> Tensor:
        """(B, D, T') -> (B, D, n_out): add each value to the nearest log-mel frame.

        The sum over time is preserved, including values beyond the ends of the log-mel.
        """
        centre = torch.arange(values.shape[-1], device=values.device) + 0.5
        place = ((centre - self.first) / self.step - 0.5).round().clamp(0, n_out - 1)
        number = torch.arange(n_out, device=values.device)
        return values @ (place[:, None] == number).to(values.dtype)

    def n_around(self, n_logmel: int) -> int:
        """Odd number of encoder frames closest in length to `n_logmel` log-mel frames."""
        return 1 + 2 * round(max(n_logmel * self.step - 1, 0) / 2)


class JoinedFrames(nn.Module):
    """Projects encoder frames (linear layer and ReLU) and resamples them to a network's frames.

    The DESED baseline joins pretrained embeddings to its convolutional features in the same way.

    Args:
        frames: Size and timing of the encoder frames.
        n_channels: P, the number of output channels.
        dropout: Dropout rate of the output.
    """

    def __init__(self, frames: FrameInput, n_channels: int, dropout: float) -> None:
        super().__init__()
        self._input = frames
        self.layer = nn.Linear(frames.n_dims, n_channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: Tensor, n_out: int, n_pooled: int) -> Tensor:
        """Standardised (B, T', D) -> (B, P, n_out), each frame for `n_pooled` log-mel frames."""
        projected = self.dropout(self.layer(frames).relu()).transpose(1, 2)  # (B, P, T')
        return self._input.resample(projected.float(), n_out, n_pooled)


def needed(frames: FrameInput | None) -> FrameInput:
    """Return `frames` for a network that requires them.

    Raises:
        SedmtlError: There are none.
    """
    if frames is None:
        raise SedmtlError(
            "this network takes the frames of a frozen encoder, and there are none: name its file "
            "with features.encoder in data.yaml and run 'sedmtl features'"
        )
    return frames
