"""What stores, runs and exports say of the frozen encoder that frames come from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any, Self

NOT_STATED = "not stated"
"""Of a licence."""

ROUNDING = 1e-6
"""Of frames: a clip of 10 s has 10 of 1 s each, whatever 10 × 1.0000000001 is."""


@dataclass(frozen=True)
class EncoderCard:
    """A frozen encoder, and the frames that it gives.

    Frame k stands for the `1 / rate_hz` seconds of a clip from `k / rate_hz` seconds on.

    Attributes:
        sha256: Digest of the file, and of the files that hold its weights if others do.
        runtime: What runs it: `onnx` or `tflite`.
        settings: Of `features.encoder`, with what the file itself says: `sample_rate`, `window_s`,
            `hop_s`, `input` and the others that decide the frames.
        n_dims: D, dimensions of a frame.
        n_kept: Frames that each window gives; its middle ones, if windows overlap.
        path: The file, as `data.yaml` named it when it was last used.
        licence: What `data.yaml` or the file says of it.
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
        """Of the audio that goes in, in Hz."""
        return int(self.settings["sample_rate"])

    @property
    def window(self) -> int:
        """Samples of audio that go in at once."""
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
        """T', frames of a clip: the last one may reach beyond its end."""
        return max(1, math.ceil(duration_s * self.rate_hz - ROUNDING))

    def is_same(self, other: EncoderCard) -> bool:
        """Whether the frames are the same, wherever the file is."""
        return self.deciding == other.deciding

    @property
    def deciding(self) -> str:
        """What decides the frames, as JSON: attribute `encoder` of a store."""
        values = {key: value for key, value in asdict(self).items() if key not in _FOR_PEOPLE}
        return json.dumps(values, sort_keys=True)

    @property
    def recorded(self) -> str:
        """The rest, as JSON: attribute `encoder_file` of a store."""
        return json.dumps({key: getattr(self, key) for key in _FOR_PEOPLE}, sort_keys=True)

    @classmethod
    def of(cls, deciding: str, recorded: str) -> Self:
        """The card from two attributes of a store; the second may be of another time.

        Raises:
            ValueError, TypeError: They are no card.
        """
        return cls.read({"path": "", **json.loads(deciding), **json.loads(recorded or "{}")})

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """The card from the plain values of `asdict`.

        Raises:
            ValueError, TypeError: They are no card.
        """
        card = cls(**values)
        numbers = (card.n_dims, card.n_kept, card.settings["sample_rate"])
        if not all(type(number) is int and 0 < number <= _MOST for number in numbers):
            raise ValueError("the numbers of its encoder cannot be")
        if not 0 < card.hop <= card.window <= _MOST:
            raise ValueError("the windows of its encoder cannot be")
        return card


_FOR_PEOPLE = ("path", "licence")
_MOST = 1 << 30
