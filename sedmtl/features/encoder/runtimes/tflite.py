"""TensorFlow Lite encoders, run by ai-edge-litert; the only module that imports it."""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sedmtl.features.encoder.runtimes.graph import (
    Array,
    Graph,
    choose_output,
    failure,
    no_model,
    read_file,
)
from sedmtl.runtime.errors import SedmtlError

KIND = "TensorFlow Lite"

MAGIC = b"TFL3"
"""Identifier at byte 4 of every file."""

STDERR = 2
"""File descriptor that the runtime writes to directly."""

FAILURES = (RuntimeError, ValueError)
"""Exceptions of the runtime, which documents no types."""

DAMAGE = (struct.error, TypeError, IndexError, AttributeError, UnicodeDecodeError)
"""Exceptions from reading the tables of a damaged file."""


def open_graph(path: Path, output: str | None) -> Graph:
    """Open a file; raises as `runtimes.open_graph`."""
    content = read_file(path)
    if content[4:8] != MAGIC:
        onnx = "; an ONNX model is named with features.encoder.onnx"
        raise no_model(path, KIND, f"its first bytes are not those of such a file{onnx}")
    return TfliteGraph(path, content, output)


class TfliteGraph(Graph):
    """A TensorFlow Lite model; runs one window at a time, as batches were no faster per window."""

    def __init__(self, path: Path, content: bytes, output: str | None) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise SedmtlError(
                "a TensorFlow Lite encoder needs ai-edge-litert: install it with "
                "pip install 'sedmtl[tflite]'"
            ) from error
        self.path, self._new = path, Interpreter
        self._idle: list[_Interpreter] = []
        self.sha256, self.stated = hashlib.sha256(content).hexdigest(), {}
        try:
            self._content, self.output = _with_output(path, content, output)
            with _without_info():
                self._idle.append(self._new_interpreter())
                self._idle[0].interpreter.allocate_tensors()
            inputs = self._idle[0].interpreter.get_input_details()
        except DAMAGE as error:
            raise no_model(path, KIND, "it is damaged or incomplete") from error
        except FAILURES as error:
            raise no_model(path, KIND, error) from error
        if len(inputs) != 1:
            names = ", ".join(each["name"] for each in inputs)
            raise SedmtlError(f"{path} should have one input, found {len(inputs)} ({names})")
        if inputs[0]["dtype"] is not np.float32:
            raise SedmtlError(
                f"{path} should take float32, found {np.dtype(inputs[0]['dtype'])}: convert it "
                "without quantised inputs"
            )
        free = inputs[0].get("shape_signature", inputs[0]["shape"])
        # The batch axis stays at 1.
        self.input_shape = tuple(
            (1 if axis == 0 and len(free) > 1 else None) if size < 0 else size
            for axis, size in enumerate(free.tolist())
        )

    def run(self, values: npt.NDArray[np.float32]) -> Array:
        """Compute the requested output."""
        try:
            # An interpreter is not thread-safe, so each thread takes one and returns it.
            one = self._idle.pop() if self._idle else self._new_interpreter()
        except IndexError:  # another thread was faster
            one = self._new_interpreter()
        try:
            output: Array = one.run(values)
        except FAILURES as error:
            raise failure(self.path, error) from error
        self._idle.append(one)
        return output

    def _new_interpreter(self) -> _Interpreter:
        return _Interpreter(self._new(model_content=self._content, num_threads=1))


class _Interpreter:
    """An interpreter with memory for inputs of one shape."""

    def __init__(self, interpreter: Any) -> None:
        self.interpreter = interpreter
        self._shape: tuple[int, ...] | None = None

    def run(self, values: npt.NDArray[np.float32]) -> Array:
        found = self.interpreter.get_input_details()[0]["index"]
        if self._shape != values.shape:
            self.interpreter.resize_tensor_input(found, values.shape)
            self.interpreter.allocate_tensors()
            self._shape = values.shape
        self.interpreter.set_tensor(found, values)
        self.interpreter.invoke()
        output: Array = self.interpreter.get_tensor(
            self.interpreter.get_output_details()[0]["index"]
        )
        return output


@contextmanager
def _without_info() -> Iterator[None]:
    """Drop the runtime's info line from stderr; anything else is written afterwards.

    The runtime prints the line once per process and has no setting for it.
    """
    with tempfile.TemporaryFile() as kept:
        stderr = os.dup(STDERR)
        os.dup2(kept.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(stderr, STDERR)
            os.close(stderr)
            kept.seek(0)
            others = b"".join(line for line in kept if not line.startswith(b"INFO: "))
            os.write(STDERR, others)


def _with_output(path: Path, content: bytes, output: str | None) -> tuple[bytes, str]:
    """Replace the file's first output with the requested tensor; also return the tensor's name.

    Preserving all tensors, so that an intermediate one can be read, took more than twice the time
    of an interpreter that may reuse their memory.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    names = [graph.Tensors(i).Name().decode() for i in range(graph.TensorsLength())]
    outputs = [names[graph.Outputs(i)] for i in range(graph.OutputsLength())]
    made = [op.Outputs(0) for op in map(graph.Operators, range(graph.OperatorsLength()))]
    wanted = choose_output(path, output, outputs, [names[index] for index in made if index >= 0])
    index = graph.Outputs(outputs.index(wanted)) if wanted in outputs else names.index(wanted)
    changed = bytearray(content)
    outputs_at = graph._tab.Vector(graph._tab.Offset(8))  # `outputs` is the table's third field
    struct.pack_into("<i", changed, outputs_at, index)
    return bytes(changed), wanted
