"""What runs the files of frozen encoders: a module for each kind of file.

A new kind is a module with a function `open_graph` like those here, a line below, and a key of
`features.encoder` of that name.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from sedmtl.features.encoder.runtimes.graph import Graph

RUNTIMES = {
    "onnx": "sedmtl.features.encoder.runtimes.onnx",
    "tflite": "sedmtl.features.encoder.runtimes.tflite",
}
"""The modules by the key of `features.encoder`."""


def open_graph(runtime: str, path: Path, output: str | None) -> Graph:
    """Open the file of an encoder; nothing of it is run.

    Args:
        runtime: Key of `RUNTIMES`.
        path: The file, which is only read.
        output: Name of the output that is wanted; by default the only one.

    Raises:
        SedmtlError: The file cannot be read, is no model of that runtime, needs something that is
            not there, or has no such output; or the runtime is not installed.
    """
    graph: Graph = import_module(RUNTIMES[runtime]).open_graph(path, output)
    return graph
