"""A network's settings: its options, its construction and the meaning of its outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Literal, get_args, get_type_hints

from torch import Tensor, nn

from sedmtl.models.frame_input import FrameInput

FrameMeaning = Literal["presence", "evidence", "signed"]
"""The meaning of frame scores: `presence`, the probability that the class is active in the frame;
`evidence`, higher where it is more likely, on no particular scale; `signed`, scores that a later
layer may weigh with either sign, so that a low one may mean present."""

WIDENED = {float: (int,)}
"""Types accepted in place of another: YAML writes 1 for 1.0."""


@dataclass(frozen=True)
class NetworkSettings(ABC):
    """The options of a network, and what the rest of sedmtl needs to know about it.

    A network's own class adds one field per option, with a default; the text below the field is
    the help of that option of `sedmtl train`.

    Attributes:
        task_modules: The auxiliary tasks that the network itself computes, and the submodule of
            each; the submodule of a task that is not trained is frozen.
        encoder_modules: The submodules that make `SedOutput.encoded`, which `--freeze-encoder`
            keeps fixed; empty if the network has no encoder of its own.
        stage_factors: Channels of `SedOutput.stages` after the first, in multiples of `width`;
            empty if the network has no stages.
        added: Options added in later versions, which files omit at their default.
    """

    task_modules: ClassVar[Mapping[str, str]] = {}
    encoder_modules: ClassVar[tuple[str, ...]] = ("encoder",)
    stage_factors: ClassVar[tuple[int, ...]] = ()
    added: ClassVar[tuple[str, ...]] = ()

    width: int = 32
    """Channels of the first block; 32 is the paper's."""

    def __post_init__(self) -> None:
        """Check every value against the type of its field.

        Raises:
            ValueError: A value has the wrong type, or is not one of the field's choices.
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
    def build(
        self, n_classes: int, n_frames: int, n_mels: int, frames: FrameInput | None = None
    ) -> nn.Module:
        """The network with fresh weights.

        Its `forward(*inputs, reconstruct=True)` returns a `SedOutput`.

        Args:
            n_classes: C.
            n_frames: T.
            n_mels: F.
            frames: The encoder frames among the `inputs`, if any.
        """

    @property
    def inputs(self) -> tuple[str, ...]:
        """Standardised inputs of `forward`, in order.

        `logmel` is (B, T, F), and `frames` (B, T', D), with T' and D of a frozen encoder.
        """
        return ("logmel",)

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
    def stage_channels(self) -> tuple[int, ...]:
        """Channels of `SedOutput.stages` after the first, which is the log-mel."""
        return tuple(factor * self.width for factor in self.stage_factors)

    @property
    def variant(self) -> list[str]:
        """The options that differ from the network's defaults, except its width."""
        changed = {
            name: getattr(self, name)
            for name, default in self.defaults().items()
            if name != "width" and getattr(self, name) != default
        }
        return [
            v if isinstance(v, str) else name if v is True else f"{name}{v}"
            for name, v in changed.items()
        ]

    def class_probability(self, class_map: Tensor) -> Tensor:
        """The class map as probabilities, in its shape (B, C, T, F)."""
        return class_map.sigmoid()
