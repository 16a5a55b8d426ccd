"""A network's settings: its options, how it is built, what its outputs mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Literal, get_args, get_type_hints

from torch import Tensor, nn

FrameMeaning = Literal["presence", "evidence", "signed"]
"""What a network's frame scores are: `presence`, the probability that the class sounds in the
frame; `evidence`, higher where it is more likely, on no scale in particular; `signed`, scores that
a later layer may weigh with either sign, so that a low one may mean present."""

WIDENED = {float: (int,)}
"""Types that stand for another: YAML writes 1 for 1.0."""


@dataclass(frozen=True)
class NetworkSettings(ABC):
    """The options of a network, and the facts that other parts of sedmtl need about it.

    A network's own class adds a field per option, with a default; the text below the field is the
    help of the option of `sedmtl train`.

    Attributes:
        task_modules: The auxiliary tasks that the network itself computes, and the submodule that
            each one uses; a submodule whose task is not trained is frozen.
        width: Of every network.
    """

    task_modules: ClassVar[Mapping[str, str]] = {}

    width: int = 32
    """Channels of the first block; 32 is the paper's."""

    def __post_init__(self) -> None:
        """Check every value against the type of its field.

        Raises:
            ValueError: A value has another type, or is none of a field's choices.
        """
        kinds = get_type_hints(type(self))
        for name in self.defaults():
            value, kind = getattr(self, name), kinds[name]
            choices = get_args(kind)
            fits = value in choices if choices else type(value) in (kind, *WIDENED.get(kind, ()))
            if not fits:
                wanted = f"one of {', '.join(map(str, choices))}" if choices else kind.__name__
                raise ValueError(f"{name} should be {wanted}, found {value!r}")
        if self.width < 1:
            raise ValueError(f"width should be at least 1, found {self.width}")

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The options by name, with their default values."""
        return {each.name: each.default for each in fields(cls) if each.default is not MISSING}

    @abstractmethod
    def build(self, n_classes: int, n_frames: int, n_mels: int) -> nn.Module:
        """The network with fresh weights.

        Its `forward(logmel (B, T, F), *, reconstruct=True)` returns a `SedOutput`.
        """

    @property
    def frame_meaning(self) -> FrameMeaning:
        """What `SedOutput.frame` means."""
        return "evidence"

    @property
    def time_stride(self) -> int:
        """Log-mel frames per frame score: T frames give T // `time_stride` scores."""
        return 1

    @property
    def n_channels(self) -> int:
        """Channels of `SedOutput.encoded`, for tasks that read it."""
        return 8 * self.width

    @property
    def variant(self) -> list[str]:
        """What tells the network from the default one of its name; its width does not count."""
        changed = {
            name: getattr(self, name)
            for name, default in self.defaults().items()
            if name != "width" and getattr(self, name) != default
        }
        return [v if isinstance(v, str) else f"{name}{v}" for name, v in changed.items()]

    def class_probability(self, class_map: Tensor) -> Tensor:
        """The class map as probabilities, in its shape (B, C, T, F)."""
        return class_map.sigmoid()
