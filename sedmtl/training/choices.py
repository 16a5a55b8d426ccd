"""Choices of `train` options, shared by the command and Python; imports no torch, for the help."""

from __future__ import annotations

from math import inf
from typing import Literal

AUTO = "auto"
"""Value for the precision (bfloat16 if supported) and batch size (the recipe's, maybe split)."""

Recipe = Literal["paper", "strong"]
Schedule = Literal["plateau", "cosine"]
Supervision = Literal["weak", "strong"]
Precision = Literal["auto", "float32", "bfloat16"]

LOWEST = {"fold": 1, "epochs": 1, "batch_size": 1, "seed": 0, "gpus": 0}

RATE_WANTED = "a number above 0"


def is_rate(value: float) -> bool:
    """Whether a number is a valid learning rate."""
    return 0 < value < inf
