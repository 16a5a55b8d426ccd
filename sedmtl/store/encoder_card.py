"""Description of a frozen encoder, kept in the stores, runs and exports that use its frames."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any, Self

NOT_STATED = "not stated"
"""The licence if none is given."""

ROUNDING = 1e-6
"""Tolerance in frames: a clip of 10 s has 10 frames of 1 s, even if rounding gives 10.000000001."""


@dataclass(frozen=True)
class EncoderCard:
    """A frozen encoder and the frames that it outputs.

    Frame k covers the `1 / rate_hz` seconds of a clip that start at `k / rate_hz` seconds.

    Attributes:
        sha256: Digest of the file, including any external weight files.
        runtime: Runtime of the model: `onnx` or `tflite`.
        settings: Settings of `features.encoder`, completed from the file: `sample_rate`,
            `window_s`, `hop_s`, `input` and all others that determine the frames.
        n_dims: D, dimensions of a frame.
        n_kept: Frames kept from each window; the middle ones if windows overlap.
        path: The file, as `data.yaml` named it when it was last used.
        licence: Licence according to `data.yaml` or the file.
    """

    sha256: str
    runtime: str
    settings: Mapping[str, Any]
    n_dims: int
    n_kept: int
    path: str
    licence: str = NOT_STATED

    @property
    def name(self) -> str:
        """Name of the file."""
        return PurePath(self.path).name

    @property
    def sample_rate(self) -> int:
        """Sample rate of the input, in Hz."""
        return int(self.settings["sample_rate"])

    @property
    def window(self) -> int:
        """Samples in a window of the input."""
        return round(float(self.settings["window_s"]) * self.sample_rate)

    @property
    def hop(self) -> int:
        """Samples from one window to the next."""
        return round(float(self.settings["hop_s"]) * self.sample_rate)

    @property
    def rate_hz(self) -> float:
        """Frames per second."""
        return self.n_kept * self.sample_rate / self.hop

    def n_frames(self, duration_s: float) -> int:
        """T', frames of a clip; the last one may extend beyond its end."""
        return max(1, math.ceil(duration_s * self.rate_hz - ROUNDING))

    def is_same(self, other: EncoderCard) -> bool:
        """Whether both give the same frames, wherever their files are."""
        return self.deciding == other.deciding

    @property
    def deciding(self) -> str:
        """The fields that determine the frames, as JSON: the attribute `encoder` of a store."""
        values = {key: value for key, value in asdict(self).items() if key not in _FOR_PEOPLE}
        return json.dumps(values, sort_keys=True)

    @property
    def recorded(self) -> str:
        """The other fields, as JSON: the attribute `encoder_file` of a store."""
        return json.dumps({key: getattr(self, key) for key in _FOR_PEOPLE}, sort_keys=True)

    @classmethod
    def of(cls, deciding: str, recorded: str) -> Self:
        """Read the card from two attributes of a store; the second may be newer than the first.

        Raises:
            ValueError, TypeError: They do not form a card.
        """
        return cls.read({"path": "", **json.loads(deciding), **json.loads(recorded or "{}")})

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Read the card from the plain values of `asdict`.

        Raises:
            ValueError, TypeError: They do not form a card.
        """
        card = cls(**values)
        numbers = (card.n_dims, card.n_kept, card.settings["sample_rate"])
        if not all(type(number) is int and 0 < number <= _MOST for number in numbers):
            raise ValueError("the numbers of its encoder are impossible")
        if not 0 < card.hop <= card.window <= _MOST:
            raise ValueError("the windows of its encoder are impossible")
        return card


_FOR_PEOPLE = ("path", "licence")
_MOST = 1 << 30
