"""What all runtimes make of an encoder's file: one input, one output, a function to run."""

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
"""None where an axis is free."""

N_NAMED = 12
"""Outputs that a sentence lists."""


class Graph(ABC):
    """An encoder's file, opened.

    Attributes:
        path: The file.
        sha256: Digest of everything that it was read from.
        input_shape: Of what it takes, with the axis of a batch if there is one.
        output: Name of what `run` gives.
        n_at_once: Windows that its input takes together at most.
        stated: What the file says of itself.
    """

    path: Path
    sha256: str
    input_shape: Shape
    output: str
    n_at_once: int = 1
    stated: Mapping[str, str]

    @abstractmethod
    def run(self, values: npt.NDArray[np.float32]) -> Array:
        """The wanted output for an input of `input_shape`; several threads may call it at once.

        Raises:
            SedmtlError: The runtime fails.
        """


def read_file(path: Path) -> bytes:
    """The content of an encoder's file.

    Raises:
        SedmtlError: It cannot be read.
    """
    try:
        return read_bytes(path)
    except OSError as error:
        raise SedmtlError(f"cannot read the encoder {path}: {error.strerror}") from error


def choose_output(
    path: Path, wanted: str | None, outputs: Sequence[str], inner: Iterable[str]
) -> str:
    """The output that is wanted; by default the only one.

    Args:
        path: The file.
        wanted: A name.
        outputs: Names of its outputs.
        inner: Names of tensors between input and output, which can be asked for, too.

    Raises:
        SedmtlError: There is none of that name, or there are several and none is wanted.
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
    """The error for a file that is no model of a runtime."""
    text = " ".join(str(reason).split())[:200]
    return SedmtlError(f"{path} is no {kind} model that can be run: {text}")
