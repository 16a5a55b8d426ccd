"""Sets of `train` options: the paper's, and those of the best detector measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RECIPES: dict[str, dict[str, Any]] = {
    "paper": {"model": "2apae", "alpha": "0.001", "epochs": 50, "batch_size": 24, "lr": 1e-3},
    "strong": {
        "model": "pooled",
        "alpha": "0",
        "epochs": 40,
        "batch_size": 16,
        "lr": 1e-3,
        "remix": True,
        "schedule": "cosine",
    },
}
"""Option values that `--recipe` sets; explicit options override them."""


def with_recipe(name: str, asked: Mapping[str, Any], remix: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values of a recipe with overrides, for `TrainConfig.of`.

    The value `remix_clips` tells whether remixing was requested explicitly: the user's own
    recordings are remixed only then, as remixing 280 clips of single sounds made the strong recipe
    worse (docs/method.md).

    Args:
        name: Name of the recipe.
        asked: Values that override the recipe; None leaves it.
        remix: The ranges of data.yaml, used if the recipe or `asked` remixes.
    """
    values = RECIPES[name] | {key: value for key, value in asked.items() if value is not None}
    ranges = dict(remix) if values.get("remix") else None
    return {**values, "remix": ranges, "remix_clips": asked.get("remix")}
