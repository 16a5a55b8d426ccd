"""Embeds a frozen ONNX encoder in an exported graph: audio in, frames for the network out.

The steps around the encoder are a PyTorch module that is exported with a placeholder node, which
is then replaced by a Scan over windows of the graph in the user's file.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sedmtl.features.encoder import Encoder
from sedmtl.features.encoder.spectrogram import LOGARITHMS, EncoderSpectrogram
from sedmtl.runtime.errors import SedmtlError

DOMAIN, PLACE = "sedmtl", "Encoder"
"""Domain and operator of the placeholder node for the encoder."""


class EncoderFrames(nn.Module):
    """Computes `Encoder.frames` of clips of a fixed length.

    Args:
        encoder: An ONNX encoder.
        n_samples: N of a clip at the encoder's rate.
        duration_s: Length of a clip.
    """

    def __init__(self, encoder: Encoder, n_samples: int, duration_s: float) -> None:
        super().__init__()
        self._card, self._framing, self._layout = encoder.card, encoder.framing, encoder.layout
        self._n_samples, self._n_frames = n_samples, encoder.card.n_frames(duration_s)
        silence = np.zeros((1, encoder.card.window), np.float32)
        self._graph = encoder.graph
        self._window_shape = encoder.graph.run(encoder.layout.arrange(silence)).shape
        logmel = encoder.layout.logmel
        self.logmel = nn.Identity() if logmel is None else _Spectrogram(logmel)

    def forward(self, waveform: Tensor) -> Tensor:
        """Peak-scaled (B, N) -> (B, T', D) in float32, rounded as in a store."""
        values = self._arranged(self._windows(waveform))  # (B * W, …)
        vectors = self._encoded(values)
        framing, n_dims = self._framing, self._card.n_dims
        if self._card.settings["axes"] == "DT":
            vectors = vectors.reshape(-1, n_dims, framing.n_frames).transpose(1, 2)
        vectors = vectors.reshape(-1, framing.n_frames, n_dims)  # (B * W, T, D)
        first = framing.n_skipped
        kept = vectors[:, first : first + framing.n_kept].reshape(waveform.shape[0], -1, n_dims)
        dtype = torch.float16 if self._card.settings["dtype"] == "float16" else torch.float32
        stored: Tensor = kept[:, : self._n_frames].to(dtype).float()
        return stored

    def _encoded(self, values: Tensor) -> Tensor:
        """(B * W, …) -> the encoder's output; in an export, that of the node in its place."""
        if torch.compiler.is_exporting():
            shape = (values.shape[0], *self._window_shape)
            name = f"{DOMAIN}::{PLACE}"
            return torch.onnx.ops.symbolic(name, (values,), dtype=torch.float32, shape=shape)
        outputs = [self._graph.run(each.numpy()) for each in values]
        return torch.from_numpy(np.stack(outputs)).float()

    def _windows(self, waveform: Tensor) -> Tensor:
        """(B, N) -> (B * W, window), cut as by `Framing.windows`."""
        framing = self._framing
        span = framing.span(framing.n_windows(self._n_frames))
        after = span - framing.n_before - self._n_samples
        padded = nn.functional.pad(waveform, (framing.n_before, max(after, 0)))[:, :span]
        return padded.unfold(1, framing.window, framing.hop).reshape(-1, framing.window)

    def _arranged(self, windows: Tensor) -> Tensor:
        """Windows (n, window) -> inputs of the encoder's graph (n, …)."""
        values: Tensor = self.logmel(windows)
        if self._layout.is_mel_first:
            values = values.transpose(1, 2)
        batch = (1,) if self._layout.has_batch else ()
        return values.reshape(-1, *batch, *self._layout.shape)


class _Spectrogram(nn.Module):
    """`EncoderSpectrogram` in PyTorch."""

    def __init__(self, of: EncoderSpectrogram) -> None:
        super().__init__()
        self._how, self._n_fft = of.settings, of.n_fft
        self.register_buffer("taper", torch.from_numpy(of.taper))
        self.register_buffer("filters", torch.from_numpy(of.filters))
        self.taper: Tensor
        self.filters: Tensor

    def forward(self, waveforms: Tensor) -> Tensor:
        """(n, N) -> (n, T, F)."""
        how = self._how
        if how.centred:
            half = self._n_fft // 2
            waveforms = nn.functional.pad(waveforms, (half, half), mode="reflect")
        spectrum = torch.fft.rfft(waveforms.unfold(1, self._n_fft, how.hop) * self.taper)
        power = spectrum.real.square() + spectrum.imag.square()
        mel = (power if how.power == 2 else power.sqrt()) @ self.filters
        level = torch.log(mel + how.floor) * log_factor(how.log, how.power)
        return (level - how.mean) / how.std


def log_factor(log: str, power: int) -> float:
    """Factor from the natural logarithm to the encoder's logarithm."""
    logarithm, factor = LOGARITHMS[log]
    return factor * (2 / power if log == "db" else 1.0) * float(logarithm(math.e))


def read_graph(encoder: Encoder) -> Any:
    """Read an encoder's graph into onnxscript's IR.

    External weights are loaded, functions are inlined, and the output is cast to float32.
    """
    from onnx_ir import DataType, TensorType, external_data, load, node
    from onnx_ir.passes import Sequential, common

    model = load(encoder.graph.path)
    external_data.load_to_model(model)
    graph = model.graph
    for part in (graph.opset_imports, *(each.opset_imports for each in model.functions.values())):
        if "ai.onnx" in part:  # an alias of "", to which nodes are normalised on reading
            part[""] = part.pop("ai.onnx")
    values = [*graph.outputs, *(value for each in graph for value in each.outputs)]
    output = next(value for value in values if value.name == encoder.graph.output)
    output.shape = None
    cast = node("Cast", [output], {"to": DataType.FLOAT.value})
    graph.append(cast)
    cast.outputs[0].type = TensorType(DataType.FLOAT)
    graph.outputs[:] = cast.outputs
    passes = (
        common.RemoveInitializersFromInputsPass(),
        common.InlinePass(),
        common.RemoveUnusedNodesPass(),
        common.ClearMetadataAndDocStringPass(),
    )
    found = Sequential(*passes)(model).model
    found.graph.inputs[0].shape = None  # a single window, whatever batch the file declares
    return found


def put_in(model: Any, encoder: Any) -> None:
    """Replace the placeholder of `EncoderFrames` by the encoder's graph, in place.

    Args:
        model: A model in onnxscript's IR, with an opset at least as new as the encoder's.
        encoder: As returned by `read_graph`.

    Raises:
        SedmtlError: The encoder cannot be converted to the same opset.
    """
    from onnx_ir import AttrGraph, AttrInt64, Node, convenience
    from onnx_ir.passes import common
    from onnxscript.version_converter import convert_version

    after = model.opset_imports[""]
    before = encoder.opset_imports.setdefault("", after)  # a graph may not use ONNX's own domain
    convert_version(encoder, after, fallback=True)
    if encoder.opset_imports[""] != after:
        raise SedmtlError(
            f"the encoder's operators are of version {before} (opset) and cannot be converted to "
            f"{after}: export the encoder again with opset {after}"
        )
    (place,) = (node for node in model.graph if node.op_type == PLACE)
    how = [AttrGraph("body", encoder.graph), AttrInt64("num_scan_inputs", 1)]
    scan = Node("", "Scan", place.inputs, how, num_outputs=1, name=PLACE)
    convenience.replace_nodes_and_values(
        model.graph, place, [place], [scan], place.outputs, scan.outputs
    )
    del model.opset_imports[DOMAIN]
    for domain, version in encoder.opset_imports.items():
        model.opset_imports.setdefault(domain, version)
    common.NameFixPass()(model)
