"""The best epoch so far under each selection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sedmtl.training.config import SELECTIONS, Selection


@dataclass
class Best:
    """The best epoch so far under one selection, with its scores and weights."""

    epoch: int = 0
    micro_p: float = -1.0
    held_out_score: Tensor = field(default_factory=lambda: torch.empty(0))
    weights: dict[str, Tensor] = field(default_factory=dict)


def keep_best(
    best: dict[Selection, Best],
    record: Mapping[str, Any],
    held_out: npt.NDArray[np.float32] | None,
    weights: Mapping[str, Tensor],
) -> None:
    """Update the best epochs with a new epoch.

    Args:
        best: The best so far; changed in place.
        record: The epoch's metrics.
        held_out: (n, C) scores on the held-out fold; None if no fold is held out.
        weights: Weights after the epoch.
    """
    for selection, part in SELECTIONS.items():
        if part not in record:
            continue
        micro_p = record[part]["micro_p"]
        if micro_p > best[selection].micro_p:
            kept = {key: value.cpu().clone() for key, value in weights.items()}
            scores = torch.empty(0) if held_out is None else torch.from_numpy(held_out)
            best[selection] = Best(record["epoch"], micro_p, scores, kept)
