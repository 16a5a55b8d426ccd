"""The networks by name."""

from __future__ import annotations

from torch import nn

from sedmtl.models.atrous import AtrousAttention
from sedmtl.models.attention_step import AttentionForm
from sedmtl.models.autoencoder import ReconstructionEnd, TwoStepAttentionAutoEncoder
from sedmtl.models.pooling import GlobalAverage, GlobalMaximum, GlobalWeightedRank
from sedmtl.models.two_step_attention import TimeAttention
from sedmtl.models.vggish import Vggish
from sedmtl.runtime.errors import SedmtlError, suggest

MODELS = ("2apae", "gap", "gmp", "gwrp", "atrous")
"""The paper's network and the four that it is compared with, in the order of its table IV."""


def build_model(
    name: str,
    n_classes: int,
    n_frames: int,
    n_mels: int,
    width: int = 32,
    attention: AttentionForm = "released",
    reconstruction: ReconstructionEnd = "relu",
    time_attention: TimeAttention = "dense",
) -> nn.Module:
    """Build a network with fresh weights.

    Its `forward(logmel (B, T, F)) -> SedOutput`; the log-mel is standardised before. `attention`,
    `reconstruction` and `time_attention` are about 2APAE alone.

    Raises:
        SedmtlError: There is no network of that name.
    """
    match name:
        case "2apae":
            return TwoStepAttentionAutoEncoder(
                n_classes, n_frames, n_mels, width, attention, reconstruction, time_attention
            )
        case "gap":
            return Vggish(n_classes, GlobalAverage(), width)
        case "gmp":
            return Vggish(n_classes, GlobalMaximum(), width)
        case "gwrp":
            return Vggish(n_classes, GlobalWeightedRank(n_frames * n_mels), width)
        case "atrous":
            return AtrousAttention(n_classes, width)
    raise SedmtlError(f"no network is called '{name}': {suggest(name, MODELS)}")


def has_decoder(name: str) -> bool:
    """Whether the network of that name has the auxiliary task."""
    return name == "2apae"


def count_parameters(network: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(parameter.numel() for parameter in network.parameters())
