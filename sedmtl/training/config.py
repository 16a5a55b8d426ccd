"""The recipe of a run: everything that decides it, beside the store it is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from sedmtl.models import build_model
from sedmtl.models.attention_step import AttentionForm
from sedmtl.models.autoencoder import ReconstructionEnd
from sedmtl.models.two_step_attention import TimeAttention
from sedmtl.runtime.devices import Precision
from sedmtl.store import Store

Selection = Literal["honest", "paper"]
Alpha = float | Literal["auto"]

SELECTIONS: dict[Selection, str] = {"honest": "validation", "paper": "held_out"}
"""By which part's micro-P each selection chooses its epoch."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run, beside the store it is trained on.

    Attributes:
        data: Name of the feature store.
        fold: The held-out fold.
        alpha: Weight of the reconstruction loss, or 'auto' to learn it; at 0 the decoder is not
            run. A network without a decoder has 0.
        precision: What convolutions and dense layers are computed in; losses, batch norm's
            statistics and the weights are float32.
    """

    data: str
    fold: int
    model: str = "2apae"
    attention: AttentionForm = "released"
    time_attention: TimeAttention = "dense"
    reconstruction: ReconstructionEnd = "relu"
    width: int = 32
    alpha: Alpha = 0.001
    epochs: int = 50
    batch_size: int = 24
    lr: float = 1e-3
    seed: int = 0
    precision: Precision = "float32"

    @property
    def name(self) -> str:
        """Name of the run's folder, unless the user gives another."""
        data = self.data.replace("_", "")
        alpha = self.alpha if self.alpha == "auto" else f"{self.alpha:g}"
        form = "" if self.attention == "released" else f"_{self.attention}"
        time = "" if self.time_attention == "dense" else f"_{self.time_attention}"
        end = "" if self.reconstruction == "relu" else f"_{self.reconstruction}"
        return f"{self.model}_{data}_fold{self.fold}_alpha{alpha}_seed{self.seed}{form}{time}{end}"

    @property
    def reconstructs(self) -> bool:
        """Whether the auxiliary task takes part."""
        return self.alpha == "auto" or self.alpha > 0


def build_network(recipe: Recipe, store: Store) -> nn.Module:
    """The recipe's network for a store, with fresh weights from the seed.

    Raises:
        SedmtlError: The network does not exist.
    """
    n_frames, n_mels = store.row_shape
    torch.manual_seed(recipe.seed)
    return build_model(
        recipe.model,
        len(store.classes),
        n_frames,
        n_mels,
        recipe.width,
        recipe.attention,
        recipe.reconstruction,
        recipe.time_attention,
    )
