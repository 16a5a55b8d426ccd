"""Encoders in files of TensorFlow Lite, run by ai-edge-litert: the only module that imports it."""

from __future__ import annotations

import hashlib
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sedmtl.features.encoder.runtimes.graph import Array, Graph, choose_output, no_model, read_file
from sedmtl.runtime.errors import SedmtlError

KIND = "TensorFlow Lite"

MAGIC = b"TFL3"
"""At byte 4 of every file."""

FAILURES = (RuntimeError, ValueError, TypeError, struct.error, IndexError, AttributeError)
"""What a file that is none ends in; the runtime documents no exception types."""


def open_graph(path: Path, output: str | None) -> Graph:
    """Open a file; raises as `runtimes.open_graph`."""
    content = read_file(path)
    if content[4:8] != MAGIC:
        onnx = "; one of ONNX is named with features.encoder.onnx"
        raise no_model(path, KIND, f"its first bytes are not those of such a file{onnx}")
    return TfliteGraph(path, content, output)


class TfliteGraph(Graph):
    """A model of TensorFlow Lite. It takes one window at a time: more took as long for each."""

    def __init__(self, path: Path, content: bytes, output: str | None) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise SedmtlError(
                "an encoder of TensorFlow Lite needs ai-edge-litert: install it with "
                "pip install 'sedmtl[tflite]'"
            ) from error
        self._path, self._new = path, Interpreter
        self._of_thread = threading.local()
        self.sha256, self.stated = hashlib.sha256(content).hexdigest(), {}
        try:
            self._content, self.output = _with_output(path, content, output)
            inputs = self._interpreter().get_input_details()
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
        # The axis of the batch stays at 1.
        self.input_shape = tuple(
            (1 if axis == 0 and len(free) > 1 else None) if size < 0 else size
            for axis, size in enumerate(free.tolist())
        )

    def run(self, values: npt.NDArray[np.float32]) -> Array:
        """The wanted output."""
        try:
            interpreter = self._interpreter()
            found = interpreter.get_input_details()[0]
            if self._of_thread.shape != values.shape:
                interpreter.resize_tensor_input(found["index"], values.shape)
                interpreter.allocate_tensors()
                self._of_thread.shape = values.shape
            interpreter.set_tensor(found["index"], values)
            interpreter.invoke()
            output: Array = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        except FAILURES as error:
            raise no_model(self._path, KIND, error) from error
        return output

    def _interpreter(self) -> Any:
        """That of this thread: none may be used by two at once."""
        if not hasattr(self._of_thread, "interpreter"):
            self._of_thread.interpreter = self._new(model_content=self._content, num_threads=1)
            self._of_thread.shape = None  # nothing is allocated yet
        return self._of_thread.interpreter


def _with_output(path: Path, content: bytes, output: str | None) -> tuple[bytes, str]:
    """The file with the wanted tensor in place of its first output, and the tensor's name.

    To keep all tensors, so that an inner one can be read, took more than twice the time of an
    interpreter that may share their memory.
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
