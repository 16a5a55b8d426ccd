"""2APAE: shared encoder, two-step attention, and a decoder for the auxiliary task (figure 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from sedmtl.models.attention_step import AttentionForm
from sedmtl.models.blocks import encode, initialise, stack_blocks
from sedmtl.models.frame_input import FrameInput
from sedmtl.models.output import SedOutput
from sedmtl.models.settings import FrameMeaning, NetworkSettings
from sedmtl.models.two_step_attention import TimeAttention, TwoStepAttention

ReconstructionEnd = Literal["relu", "linear"]


@dataclass(frozen=True)
class TwoStepAttentionSettings(NetworkSettings):
    """The options of 2APAE."""

    task_modules: ClassVar[Mapping[str, str]] = {"reconstruct": "decoder"}
    stage_factors: ClassVar[tuple[int, ...]] = (1, 2, 4)

    attention: AttentionForm = "released"
    """Form of 2APAE's attention."""

    time_attention: TimeAttention = "dense"
    """2APAE's second step: dense, the paper's, depends on frame positions; local does not, and its
    frame scores are presence probabilities."""

    reconstruction: ReconstructionEnd = "relu"
    """End of 2APAE's decoder."""

    @property
    def frame_meaning(self) -> FrameMeaning:
        """The dense second step has weights of both signs."""
        return "presence" if self.time_attention == "local" else "signed"

    def build(
        self, n_classes: int, n_frames: int, n_mels: int, frames: FrameInput | None = None
    ) -> nn.Module:
        """The network with fresh weights."""
        return TwoStepAttentionAutoEncoder(n_classes, n_frames, n_mels, self)


class TwoStepAttentionAutoEncoder(nn.Module):
    """The paper's network: tables I to III at `width` 32.

    The decoder reads the input of the class convolution, not its output (section IV-D). As in the
    paper, its last block ends in a ReLU and an average, so a reconstruction is never negative,
    although the standardised log-mel often is. `linear` omits that ReLU.

    Args:
        n_classes: C.
        n_frames: T; fixed if the attention over time is dense, arbitrary if it is local.
        n_mels: F.
        settings: Its options; the blocks have 1, 2, 4 and 8 times `width` channels.
    """

    def __init__(
        self, n_classes: int, n_frames: int, n_mels: int, settings: TwoStepAttentionSettings
    ) -> None:
        super().__init__()
        width = settings.width
        channels = [width, 2 * width, 4 * width, 8 * width]
        self.encoder = stack_blocks([1, *channels])
        self.class_conv = nn.Conv2d(channels[-1], n_classes, 1)
        self.decoder = stack_blocks([*reversed(channels), 1])
        if settings.reconstruction == "linear":
            self.decoder[-1].activation = nn.Identity()
        self.attention = TwoStepAttention(
            n_classes, n_frames, n_mels, settings.attention, settings.time_attention
        )
        initialise(self)

    def forward(
        self, logmel: Tensor, *, reconstruct: bool = True, with_stages: bool = False
    ) -> SedOutput:
        """Score a batch.

        Args:
            logmel: (B, T, F), standardised.
            reconstruct: Whether to run the decoder, which costs as much as the encoder.
            with_stages: Whether to return the encoder's stages.
        """
        encoded, stages = encode(self.encoder, logmel, with_stages=with_stages)  # (B, D, T, F)
        class_map = self.class_conv(encoded)  # (B, C, T, F)
        attended = self.attention(class_map)
        # (B, T, F)
        decoded = {"reconstruct": self.decoder(encoded).squeeze(1)} if reconstruct else {}
        return SedOutput(
            clip=attended.clip,
            frame=attended.frame,
            class_map=class_map,
            mel_attention=attended.mel_weights,
            time_attention=attended.time_weights,
            tasks=decoded,
            encoded=encoded,
            stages=stages,
        )
