"""How a network is trained beside loss and optimiser: augmentation, rate, averaged weights.

Imports no torch: the command line reads the options of `train` from this source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from sedmtl.runtime.errors import SedmtlError

Schedule = Literal["plateau", "cosine"]


@dataclass(frozen=True)
class Recipe:
    """Options of training; the defaults are the paper's.

    Raises:
        ValueError: A value is out of its range.
    """

    schedule: Schedule = "plateau"
    """Learning rate: plateau divides it by ten when validation stalls; cosine warms up over 50
    steps and falls to 0."""

    weight_decay: float = 0.0
    """Weight decay, decoupled as in AdamW."""

    average: float = 0.0
    """Decay per step of averaged weights (EMA), scored beside the plain ones; 0 keeps none."""

    mixup: float = 0.0
    """Share of clips that are mixed with another clip of the batch: energies add, labels unite."""

    roll: float = 0.0
    """Clips are rotated in time by up to this share of their length."""

    masks: float = 0.0
    """Longest mask over time and over mel bins, as a share of each; one of each per clip."""

    filter_db: float = 0.0
    """FilterAugment: mel bands are raised or lowered by up to this many dB."""

    patience: int = 0
    """Stop after so many epochs without better validation; 0 never stops."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        highest = {"average": 0.99999, "mixup": 1, "roll": 1, "masks": 1}
        for option, value in vars(self).items():
            if option != "schedule" and not 0 <= value <= highest.get(option, 1_000):
                raise ValueError(
                    f"{option} should be from 0 to {highest.get(option, 1_000)}, found {value:g}"
                )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Recipe:
        """Read the options among plain values; missing ones have their defaults."""
        return cls(**{each.name: values[each.name] for each in fields(cls) if each.name in values})

    def changes(self) -> dict[str, Any]:
        """The options that differ from the paper's."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if getattr(self, each.name) != each.default
        }


RECIPES: dict[str, dict[str, Any]] = {
    "paper": {"model": "2apae", "alpha": "0.001", "epochs": 50, "batch_size": 24, "lr": 1e-3},
    "strong": {
        "model": "pooled",
        "alpha": "0",
        "epochs": 30,
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

    Raises:
        SedmtlError: A value is out of its range.
    """
    values = RECIPES[name] | {key: value for key, value in asked.items() if value is not None}
    try:
        Recipe.of(values)
    except ValueError as error:
        raise SedmtlError(f"--{error}".replace("_", "-")) from error
    ranges = dict(remix) if values.get("remix") else None
    return {**values, "remix": ranges, "remix_clips": asked.get("remix")}
