"""2APAE: shared encoder, two-step attention, and a decoder for the auxiliary task (figure 2)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from sedmtl.models.attention_step import AttentionForm
from sedmtl.models.blocks import initialise, stack_blocks
from sedmtl.models.output import SedOutput
from sedmtl.models.two_step_attention import TimeAttention, TwoStepAttention

ReconstructionEnd = Literal["relu", "linear"]


class TwoStepAttentionAutoEncoder(nn.Module):
    """The paper's network: tables I to III at `width` 32.

    The decoder reads what the class convolution reads, not its output (section IV-D). Its last
    block ends in a ReLU and an average, so a reconstruction is never negative although the
    standardised log-mel often is; that is the paper's. `linear` leaves that ReLU out.

    Args:
        n_classes: C.
        n_frames: T; fixed where the attention over time is dense, any where it is local.
        n_mels: F.
        width: Channels of the first block; the others have 2, 4 and 8 times as many.
        attention: Form of the attention.
        reconstruction: End of the decoder.
        time_attention: The second step.
    """

    def __init__(
        self,
        n_classes: int,
        n_frames: int,
        n_mels: int,
        width: int = 32,
        attention: AttentionForm = "released",
        reconstruction: ReconstructionEnd = "relu",
        time_attention: TimeAttention = "dense",
    ) -> None:
        super().__init__()
        channels = [width, 2 * width, 4 * width, 8 * width]
        self.encoder = stack_blocks([1, *channels])
        self.class_conv = nn.Conv2d(channels[-1], n_classes, 1)
        self.decoder = stack_blocks([*reversed(channels), 1])
        if reconstruction == "linear":
            self.decoder[-1].activation = nn.Identity()
        self.attention = TwoStepAttention(n_classes, n_frames, n_mels, attention, time_attention)
        initialise(self)

    def forward(self, logmel: Tensor, *, reconstruct: bool = True) -> SedOutput:
        """Score a batch.

        Args:
            logmel: (B, T, F), standardised.
            reconstruct: Whether to run the decoder; it costs as much as the encoder.
        """
        encoded = self.encoder(logmel.unsqueeze(1))  # (B, D, T, F)
        class_map = self.class_conv(encoded)  # (B, C, T, F)
        attended = self.attention(class_map)
        return SedOutput(
            clip=attended.clip,
            frame=attended.frame,
            class_map=class_map,
            mel_attention=attended.mel_weights,
            time_attention=attended.time_weights,
            reconstruction=self.decoder(encoded).squeeze(1) if reconstruct else None,  # (B, T, F)
        )
