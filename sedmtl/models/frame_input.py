"""The frames of a frozen encoder as networks take them: how many values, and when.

They have a rate of their own. What networks give is over the frames of the log-mel, as that of all
networks: nothing behind a network needs to know what it listened to.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sedmtl.runtime.errors import SedmtlError


class FrameInput(NamedTuple):
    """Frames (B, T', D) beside the log-mel (B, T, F) of the same clips.

    Attributes:
        n_dims: D.
        first: Where the first frame of the log-mel begins, counted in frames of the encoder.
        step: Length of a frame of the log-mel, likewise.
    """

    n_dims: int
    first: float
    step: float

    def resample(self, values: Tensor, n_out: int, n_pooled: int = 1) -> Tensor:
        """(B, D, T') over the encoder's frames -> (B, D, n_out) over those of the log-mel.

        Linear between the encoder's centres, its ends repeated; where the new frames are longer,
        the mean around their centres with a triangle of their length. Constants stay.

        Args:
            values: What is over time.
            n_out: Number of new frames, which begin with the log-mel.
            n_pooled: Frames of the log-mel in each.
        """
        step, n_in = self.step * n_pooled, values.shape[-1]
        number = torch.arange(n_out, device=values.device, dtype=torch.float32)
        centre = (self.first + (number + 0.5) * step - 0.5).clamp(0, n_in - 1)
        source = torch.arange(n_in, device=values.device, dtype=torch.float32)
        weight = (1 - (centre[:, None] - source).abs() / max(step, 1.0)).relu()  # (n_out, T')
        weight = weight / weight.sum(dim=1, keepdim=True)
        return values @ weight.T.to(values.dtype)

    def nearest(self, values: Tensor, n_out: int) -> Tensor:
        """(B, D, T') -> (B, D, n_out): each value at the nearest frame of the log-mel.

        Their sum stays, also of those beyond the log-mel's ends.
        """
        centre = torch.arange(values.shape[-1], device=values.device) + 0.5
        place = ((centre - self.first) / self.step - 0.5).round().clamp(0, n_out - 1)
        number = torch.arange(n_out, device=values.device)
        return values @ (place[:, None] == number).to(values.dtype)

    def n_around(self, n_logmel: int) -> int:
        """The odd number of the encoder's frames that is next to some frames of the log-mel."""
        return 1 + 2 * round(max(n_logmel * self.step - 1, 0) / 2)


class JoinedFrames(nn.Module):
    """Frames at the time steps of a network: a linear layer with a ReLU, resampled.

    As the DESED baseline joins pretrained embeddings to its convolutions' output.

    Args:
        frames: What comes in.
        n_channels: P, what goes out.
        dropout: Share of them that is dropped in training.
    """

    def __init__(self, frames: FrameInput, n_channels: int, dropout: float) -> None:
        super().__init__()
        self._input = frames
        self.layer = nn.Linear(frames.n_dims, n_channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: Tensor, n_out: int, n_pooled: int) -> Tensor:
        """(B, T', D), standardised -> (B, P, n_out), each for `n_pooled` frames of the log-mel."""
        projected = self.dropout(self.layer(frames).relu()).transpose(1, 2)  # (B, P, T')
        return self._input.resample(projected.float(), n_out, n_pooled)


def needed(frames: FrameInput | None) -> FrameInput:
    """The frames, without which there is nothing to build.

    Raises:
        SedmtlError: There are none.
    """
    if frames is None:
        raise SedmtlError(
            "this network takes the frames of a frozen encoder, and there are none: name its file "
            "with features.encoder in data.yaml and run 'sedmtl features'"
        )
    return frames
