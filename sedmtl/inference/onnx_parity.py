"""Whether an exported graph computes what the module does in PyTorch.

Exporters have bugs: onnxscript 0.7.0 wrote GRUs whose scores were off by 0.05, without a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sedmtl.features.encoder.runtimes.onnx import open_session
from sedmtl.runtime.errors import SedmtlError

TOLERANCE = 0.01
"""Largest difference, relative to the largest value or 1; rounding makes up to 2.3e-4."""


def check_parity(
    content: bytes, module: nn.Module, shapes: Mapping[str, tuple[int, ...]], outputs: Sequence[str]
) -> None:
    """Run a graph in onnxruntime and the module in PyTorch on the same noise.

    Args:
        content: The ONNX file.
        module: What was exported.
        shapes: Its inputs' names and shapes, without the batch axis.
        outputs: Its outputs' names.

    Raises:
        SedmtlError: onnxruntime is not installed or cannot run the graph, or an output differs.
    """
    random = torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(1, *shape, generator=random) for name, shape in shapes.items()}
    found = _run(content, inputs, outputs)
    with torch.inference_mode():
        expected = module(*inputs.values())
    expected = (expected,) if isinstance(expected, Tensor) else expected
    for name, ours, theirs in zip(outputs, expected, found, strict=True):
        reference = ours.numpy()
        difference = np.abs(reference - theirs).max() / max(1.0, np.abs(reference).max())
        if not difference <= TOLERANCE:
            raise SedmtlError(
                f"nothing was exported: on noise, {name!r} of the graph is {difference:.2g} away "
                f"from the network's: expected at most {TOLERANCE}; {_advice()}"
            )


def _run(content: bytes, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise SedmtlError(
            "the export is checked with onnxruntime: install it with pip install 'sedmtl[onnx]'"
        ) from error
    try:
        session = open_session(content, ["CPUExecutionProvider"], onnxruntime)
        return session.run(list(outputs), {name: each.numpy() for name, each in inputs.items()})
    except Exception as error:  # onnxruntime has a class of its own for each kind of failure
        reason = str(error).strip().splitlines()[0]
        raise SedmtlError(
            f"nothing was exported: onnxruntime cannot run the graph ({reason}); {_advice()}"
        ) from error


def _advice() -> str:
    names = ("onnxscript", "onnxruntime")
    installed = ", ".join(f"{name} {version(name)}" for name in names)
    return f"install newer versions (here are {installed})"
