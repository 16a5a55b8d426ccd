"""Options of `train` that go together: the paper's, and those of the best detector measured."""

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
"""What `--recipe` sets; an option that is given overrules it."""


def with_recipe(name: str, asked: Mapping[str, Any], remix: Mapping[str, Any]) -> dict[str, Any]:
    """The plain values of a recipe, for `TrainConfig.of`.

    `remix_clips` among them tells whether remixing was asked for, and not only the recipe's: one's
    own recordings are mixed with each other only then. On 280 clips of single sounds it made the
    strong recipe worse (docs/method.md).

    Args:
        name: Of the recipe.
        asked: Values that overrule it; None stands for nothing asked.
        remix: The ranges of data.yaml, used if the recipe or `asked` remixes.
    """
    values = RECIPES[name] | {key: value for key, value in asked.items() if value is not None}
    ranges = dict(remix) if values.get("remix") else None
    return {**values, "remix": ranges, "remix_clips": asked.get("remix")}
