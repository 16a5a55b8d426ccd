"""ONNX encoders, run by onnxruntime."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
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

KIND = "ONNX"

KNOWN_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
"""Domains of the operators built into onnxruntime."""

AT_ONCE = 8
"""Windows per batch if the batch axis is free."""

LOG_FATAL = 4
"""Log level that keeps onnxruntime's messages off stderr; errors are also raised as exceptions."""


def open_graph(path: Path, output: str | None) -> Graph:
    """Open a file; raises as `runtimes.open_graph`."""
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise SedmtlError(
            "an ONNX encoder needs onnx and onnxruntime: install them with "
            "pip install 'sedmtl[onnx]'"
        ) from error
    content = read_file(path)
    if content[4:8] == b"TFL3":
        raise no_model(
            path, KIND, "it is a TensorFlow Lite model: name it with features.encoder.tflite"
        )
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own class, which onnx does not export
        raise no_model(path, KIND, "it cannot be parsed") from error
    if not model.graph.node:
        raise no_model(path, KIND, "it holds no graph")
    return OnnxGraph(path, content, model, output, onnxruntime)


class OnnxGraph(Graph):
    """An ONNX model; runs on a GPU if onnxruntime supports it, otherwise on one core per thread."""

    def __init__(
        self, path: Path, content: bytes, model: Any, output: str | None, onnxruntime: Any
    ) -> None:
        self.path = path
        self.stated = {each.key: each.value for each in model.metadata_props}
        others = list(_external_files(path, model))
        self.sha256 = _digest(content, others)
        _check_operators(path, model)
        outputs = [each.name for each in model.graph.output]
        inner = [name for node in model.graph.node for name in node.output if name]
        self.output = choose_output(path, output, outputs, inner)
        source: bytes | str = str(path) if others else content
        if self.output not in outputs:
            if others:
                raise SedmtlError(
                    f"{path} keeps its weights in other files, so only its outputs "
                    f"({', '.join(outputs)}) can be asked for, not the inner '{self.output}': "
                    "save it as one file"
                )
            model.graph.output.add().name = self.output
            source = model.SerializeToString()
        self._session = _open(path, source, onnxruntime)
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(each.name for each in inputs)
            raise SedmtlError(f"{path} should have one input, found {len(inputs)} ({names})")
        if inputs[0].type != "tensor(float)":
            raise SedmtlError(
                f"{path} should take float32, found {inputs[0].type}: export it with such an input"
            )
        self._input = inputs[0].name
        self.input_shape = tuple(n if isinstance(n, int) else None for n in inputs[0].shape)
        has_batch = len(self.input_shape) > 1 and self.input_shape[0] is None
        self.n_at_once = AT_ONCE if has_batch else 1

    def run(self, values: npt.NDArray[np.float32]) -> Array:
        """Compute the requested output."""
        try:
            (output,) = self._session.run([self.output], {self._input: values})
        except Exception as error:  # onnxruntime has one class per kind of failure
            raise failure(self.path, error) from error
        found: Array = output
        return found


def _open(path: Path, source: bytes | str, onnxruntime: Any) -> Any:
    """Open a session on a GPU if onnxruntime has one, otherwise on the CPU."""
    available = onnxruntime.get_available_providers()
    providers = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in available]
    try:
        return open_session(source, providers, onnxruntime)
    except Exception as error:  # onnxruntime has one class per kind of failure
        raise no_model(path, KIND, error) from error


def open_session(source: bytes | str, providers: Sequence[str], onnxruntime: Any) -> Any:
    """Open a session that logs nothing, has only built-in operators, and uses one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = LOG_FATAL
    return onnxruntime.InferenceSession(source, options, providers=list(providers))


def _check_operators(path: Path, model: Any) -> None:
    """Refuse operators that are not built into onnxruntime: they would need a native library."""
    own = {function.domain for function in model.functions}
    for node in model.graph.node:
        if node.domain not in KNOWN_DOMAINS | own:
            raise no_model(
                path, KIND,
                f"it needs the operator {node.op_type} of {node.domain}, which is not part of "
                "ONNX: export it with standard operators",
            )  # fmt: skip


def _external_files(path: Path, model: Any) -> Iterator[Path]:
    """Yield the external files with weights of the model, in order.

    Raises:
        SedmtlError: A file is outside the model's folder, missing, or cut short.
    """
    folder, seen = path.resolve().parent, set()
    constants = [each.t for node in model.graph.node for each in node.attribute]
    for tensor in (*model.graph.initializer, *constants):
        if not tensor.external_data:
            continue
        stated = {entry.key: entry.value for entry in tensor.external_data}
        place = stated.get("location", "")
        file = (folder / place).resolve()
        if not file.is_relative_to(folder):
            raise no_model(path, KIND, f"its weights are outside its folder, in {place}")
        if not file.is_file():
            raise no_model(path, KIND, f"its weights, {place} in the same folder, are missing")
        extent = [stated.get(key, "0") for key in ("offset", "length")]
        # onnxruntime refuses what is no number.
        if all(map(str.isdecimal, extent)) and file.stat().st_size < sum(map(int, extent)):
            raise no_model(path, KIND, f"its weights, {place} in the same folder, are cut short")
        if file not in seen:
            seen.add(file)
            yield file


def _digest(content: bytes, others: list[Path]) -> str:
    """SHA-256 of a single file's content; for several files, of their concatenated digests."""
    digests = [hashlib.sha256(content), *(hashlib.sha256(read_file(each)) for each in others)]
    if len(digests) == 1:
        return digests[0].hexdigest()
    return hashlib.sha256(b"".join(each.digest() for each in digests)).hexdigest()
