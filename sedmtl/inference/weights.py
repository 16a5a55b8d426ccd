"""The weights of a run: those of its network and of its saved heads, in one mapping."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

HEADS = "heads."
"""Prefix of the names of head weights."""


def join_weights(network: nn.Module, heads: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The weights of a network and its heads, under the names used in run files."""
    named = {HEADS + name + ".": head for name, head in heads.items()}
    return dict(network.state_dict()) | {
        prefix + key: value
        for prefix, head in named.items()
        for key, value in head.state_dict().items()
    }


def split_weights(weights: Mapping[str, Tensor], head: str = "") -> dict[str, Tensor]:
    """Undo `join_weights`: the weights of one head, or of the network if none is named."""
    if not head:
        return {key: value for key, value in weights.items() if not key.startswith(HEADS)}
    prefix = HEADS + head + "."
    return {k.removeprefix(prefix): each for k, each in weights.items() if k.startswith(prefix)}
