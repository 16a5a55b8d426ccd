"""Runtimes for the files of frozen encoders, one module per file format.

To add a format, write a module with a function `open_graph` like those here, and add a line below
and a key of that name to `features.encoder`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from sedmtl.features.encoder.runtimes.graph import Graph

RUNTIMES = {
    "onnx": "sedmtl.features.encoder.runtimes.onnx",
    "tflite": "sedmtl.features.encoder.runtimes.tflite",
}
"""Modules by key of `features.encoder`."""


def open_graph(runtime: str, path: Path, output: str | None) -> Graph:
    """Open an encoder's file without running it.

    Args:
        runtime: Key of `RUNTIMES`.
        path: The file.
        output: Name of the requested output; by default the only one.

    Raises:
        SedmtlError: The file cannot be read, is not a model of that runtime, has missing
            dependencies, or has no such output; or the runtime is not installed.
    """
    graph: Graph = import_module(RUNTIMES[runtime]).open_graph(path, output)
    return graph
