"""Small encoders that the tests generate, as ONNX and TensorFlow Lite files."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as tflite
from onnx import TensorProto, helper, numpy_helper

N_STEP, N_DIMS = 400, 3
"""Samples per frame, and dimensions of its vector."""

WEIGHTS = np.random.default_rng(5).normal(size=(N_STEP, N_DIMS)).astype(np.float32)


def expected(windows):
    """The encoders' output: (n, N) -> (n, N / 400, 3)."""
    steps = windows.reshape(len(windows), -1, N_STEP)
    return np.abs(steps) @ WEIGHTS


def write_onnx(
    path: Path,
    n_samples: int | str = 2000,
    batch: int | str = "B",
    *,
    gain: float = 1.0,
    domain: str = "",
    metadata: dict[str, str] | None = None,
    outputs: tuple[str, ...] = ("vectors",),
    kind: str = "",
    opset: int = 18,
    dtype: int = TensorProto.FLOAT,
) -> Path:
    """Waveforms (B, N) -> `vectors` (B, N / 400, 3), through the inner `levels` (B, N / 400, 400).

    The `kind` "mixing" adds the windows of a batch to each other, "lonely" takes a batch of one,
    "logarithm" maps silence to minus infinity.
    """
    weights = numpy_helper.from_array(WEIGHTS * np.float32(gain), "weights")
    steps = numpy_helper.from_array(np.array([int(kind == "lonely"), -1, N_STEP]), "steps")
    axis = numpy_helper.from_array(np.array([0]), "axis")
    odd = {
        "mixing": helper.make_node("ReduceSum", ["levels", "axis"], ["odd"], keepdims=1),
        "logarithm": helper.make_node("Log", ["levels"], ["odd"]),
    }.get(kind)
    is_cast = dtype != TensorProto.FLOAT
    product = "singles" if is_cast else "vectors"
    nodes = [
        helper.make_node("Reshape", ["waveform", "steps"], ["frames"]),
        helper.make_node("Abs", ["frames"], ["levels"], domain=domain),
        *([odd] if odd else []),
        helper.make_node("MatMul", ["odd" if odd else "levels", "weights"], [product]),
        *([helper.make_node("Cast", [product], ["vectors"], to=dtype)] if is_cast else []),
    ]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, [batch, n_samples])],
        [helper.make_tensor_value_info(name, dtype, None) for name in outputs],
        [weights, steps, axis],
    )
    is_alias = domain == "ai.onnx"
    imports = [
        helper.make_opsetid(domain if is_alias else "", opset),
        *([helper.make_opsetid(domain, 1)] if domain and not is_alias else []),
    ]
    model = helper.make_model(graph, opset_imports=imports, ir_version=9)
    helper.set_model_props(model, metadata or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def write_tflite(path: Path) -> Path:
    """Waveforms (1, 400) -> `twice` (1, 3), twice the inner `vectors`."""
    model, graph = tflite.ModelT(), tflite.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [tflite.BufferT()]
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [0], [4]

    def tensor(name: str, shape: tuple[int, ...], values: np.ndarray | None = None) -> int:
        made = tflite.TensorT()
        made.name, made.shape, made.type = name, list(shape), tflite.TensorType.FLOAT32
        if values is not None:
            model.buffers.append(tflite.BufferT())
            model.buffers[-1].data = np.frombuffer(values.astype("<f4").tobytes(), np.uint8)
            made.buffer = len(model.buffers) - 1
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    waveform, levels = tensor("waveform", (1, N_STEP)), tensor("levels", (1, N_STEP))
    weights = tensor("weights", (N_DIMS, N_STEP), np.ascontiguousarray(WEIGHTS.T))
    vectors, twice = tensor("vectors", (1, N_DIMS)), tensor("twice", (1, N_DIMS))
    options = tflite.FullyConnectedOptionsT()
    kinds = tflite.BuiltinOperator
    for code, inputs, output in (
        (kinds.ABS, [waveform], levels),
        (kinds.FULLY_CONNECTED, [levels, weights, -1], vectors),
        (kinds.ADD, [vectors, vectors], twice),
    ):
        kind, op = tflite.OperatorCodeT(), tflite.OperatorT()
        kind.builtinCode = kind.deprecatedBuiltinCode = code
        model.operatorCodes = [*(model.operatorCodes or []), kind]
        op.opcodeIndex, op.inputs, op.outputs = len(model.operatorCodes) - 1, inputs, [output]
        if code == kinds.FULLY_CONNECTED:
            op.builtinOptionsType = tflite.BuiltinOptions.FullyConnectedOptions
            op.builtinOptions = options
        if code == kinds.ADD:
            op.builtinOptionsType = tflite.BuiltinOptions.AddOptions
            op.builtinOptions = tflite.AddOptionsT()
        graph.operators.append(op)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(builder.Output())
    return path
