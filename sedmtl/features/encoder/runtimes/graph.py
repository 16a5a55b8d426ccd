"""Common interface of encoder models: one input, one output, a function to run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sedmtl.runtime.errors import SedmtlError, suggest
from sedmtl.runtime.regular import read_bytes

Array = npt.NDArray[Any]
Shape = tuple[int | None, ...]
"""Sizes of axes; None for free axes."""

N_NAMED = 12
"""Most outputs listed in an error message."""


class EncoderError(SedmtlError):
    """An encoder fails on some audio, or its output is unusable."""

    def where(self, place: object) -> EncoderError:
        """The same error, naming the recording."""
        return EncoderError(f"{self} (in {place})")


class Graph(ABC):
    """An opened encoder file.

    Attributes:
        path: The file.
        sha256: Digest of all files that it was read from.
        input_shape: Shape of the input, including the batch axis if there is one.
        output: Name of the output that `run` returns.
        n_at_once: Largest batch of windows for the input.
        stated: Metadata of the file.
    """

    path: Path
    sha256: str
    input_shape: Shape
    output: str
    n_at_once: int = 1
    stated: Mapping[str, str]

    @abstractmethod
    def run(self, values: npt.NDArray[np.float32]) -> Array:
        """Compute the requested output for an input of `input_shape`; thread-safe.

        Raises:
            EncoderError: The runtime fails.
        """


def read_file(path: Path) -> bytes:
    """Read an encoder's file.

    Raises:
        SedmtlError: The file cannot be read.
    """
    try:
        return read_bytes(path)
    except OSError as error:
        raise SedmtlError(f"cannot read the encoder {path}: {error.strerror}") from error


def choose_output(
    path: Path, wanted: str | None, outputs: Sequence[str], inner: Iterable[str]
) -> str:
    """Choose the requested output; by default the only one.

    Args:
        path: The file.
        wanted: Name of the requested output, if any.
        outputs: Names of its outputs.
        inner: Names of intermediate tensors, which can be requested, too.

    Raises:
        SedmtlError: No output has that name, or there are several and no name is given.
    """
    if wanted is None:
        if len(outputs) == 1:
            return outputs[0]
        raise SedmtlError(
            f"{path} has {len(outputs)} outputs ({', '.join(outputs[:N_NAMED])}): name the one "
            "that holds the vectors, with features.encoder.output"
        )
    inner = [name for name in inner if name not in outputs]
    if wanted not in outputs and wanted not in inner:
        raise SedmtlError(
            f"{path} has no output '{wanted}': {suggest(wanted, [*outputs, *inner[:-N_NAMED:-1]])}"
        )
    return wanted


def no_model(path: Path, kind: str, reason: object) -> SedmtlError:
    """Error for a file that is not a usable model."""
    return SedmtlError(f"{path} is no {kind} model that can be run: {_in_brief(reason)}")


def failure(path: Path, reason: object) -> EncoderError:
    """Error for a model that fails on its input."""
    return EncoderError(f"the encoder {path} fails: {_in_brief(reason)}")


def _in_brief(reason: object) -> str:
    return " ".join(str(reason).split())[:200]
