"""The networks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from sedmtl.errors import SedmtlError, suggest
from sedmtl.models.autoencoder import TwoStepAttentionAutoEncoder
from sedmtl.models.two_step_attention import AttentionForm

MODELS: Mapping[str, Callable[[int, int, int, int, AttentionForm], nn.Module]] = {
    "2apae": TwoStepAttentionAutoEncoder,
}


def build_model(
    name: str,
    n_classes: int,
    n_frames: int,
    n_mels: int,
    width: int = 32,
    attention: AttentionForm = "released",
) -> nn.Module:
    """Build a network with fresh weights.

    Its `forward(logmel (B, T, F)) -> SedOutput`; the log-mel is standardised before.

    Raises:
        SedmtlError: There is no network of that name.
    """
    if name not in MODELS:
        raise SedmtlError(f"no network is called '{name}': {suggest(name, MODELS)}")
    return MODELS[name](n_classes, n_frames, n_mels, width, attention)


def count_parameters(network: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
