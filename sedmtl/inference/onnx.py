"""A trained network as one ONNX graph, for places that have neither sedmtl nor PyTorch.

Waveform in, scores out: the scaling to a peak, the front end and the standardiser are in the graph,
the decoder is not. What is done before (channels averaged, resampled, cut or padded to the clip
length) and after (post-processing) is not; what they need to know is in the metadata. The only
module that imports onnxscript, when it is used.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import sedmtl
from sedmtl.config import Config
from sedmtl.data.audio import PEAK
from sedmtl.inference.checkpoint import load_heads, load_model
from sedmtl.inference.mel_masks import mel_masks
from sedmtl.inference.model_card import ModelCard
from sedmtl.inference.runs import find_run
from sedmtl.models import SedOutput
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.outputs import check_output, write_output

OPSET = 18
"""The exporter's own, so that nothing is converted; STFT is there from 17 on."""


class ClipScorer(nn.Module):
    """A network behind its front end: the part of prediction that is in the graph.

    Args:
        card: Of the run.
        network: Its network.
        masks: Its head of the task `separate`, if masks are to be in the graph.
    """

    def __init__(self, card: ModelCard, network: nn.Module, masks: nn.Module | None = None) -> None:
        super().__init__()
        self.card, self.masks = card, masks
        self.logmel = card.build_logmel()
        self.standardiser = card.build_standardiser()
        self.network = network

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        """(B, n_samples) of any level -> clip scores (B, C), frame scores (B, C, T).

        With masks also these, (B, C, T, F).
        """
        logmel = self.standardiser(self.logmel(_scaled(waveform)))
        if self.masks is None:
            output: SedOutput = self.network(logmel, reconstruct=False)
            return output.clip, output.frame
        output = self.network(logmel, reconstruct=False, with_stages=True)
        output = output._replace(tasks={"separate": self.masks(output)})
        return output.clip, output.frame, mel_masks(output, self.card)


class ClipEncoder(nn.Module):
    """The encoder of a network behind its front end: waveforms in, vectors over time out."""

    def __init__(self, card: ModelCard, network: nn.Module) -> None:
        super().__init__()
        self.logmel = card.build_logmel()
        self.standardiser = card.build_standardiser()
        self.network = network

    def forward(self, waveform: Tensor) -> Tensor:
        """(B, n_samples) of any level -> (B, T', D), averaged over mel bins."""
        logmel = self.standardiser(self.logmel(_scaled(waveform)))
        encoded: Tensor = self.network(logmel, reconstruct=False).encoded  # (B, D, T', F')
        return encoded.mean(dim=-1).transpose(1, 2)


def _scaled(waveform: Tensor) -> Tensor:
    """As `audio.conform` does it: silence stays silence, and nothing overflows."""
    peak = waveform.abs().amax(dim=-1, keepdim=True)
    return waveform / torch.where(peak > 0, peak, 1.0) * PEAK


def export_encoder(
    config: Config, run_name: str, out_path: Path | None = None, *, force: bool | None = None
) -> Path:
    """Write the convolutional encoder of a run as a file that `features.encoder` takes.

    By default the file is `encoder.onnx` in the run folder. It says of itself what data.yaml would
    have to say.

    Raises:
        SedmtlError: As of `export`, or the run itself listens through an encoder.
    """
    run = find_run(config.work_dir / "runs", run_name)
    path = out_path or run / "encoder.onnx"
    check_output(path, force=force)
    card, network = load_model(run)
    if card.encoder is not None:
        raise SedmtlError(
            f"--encoder: the run {run.name} listens through {card.encoder.name}: expected a run "
            "with an encoder of its own, such as of pooled or 2apae"
        )
    stated = {
        "sedmtl_version": sedmtl.__version__,
        "run": run.resolve().name,
        "sample_rate": str(card.sample_rate),
        "window_s": repr(card.duration_s),
        "input": "waveform",
        "axes": "TD",
    }
    content = to_onnx(ClipEncoder(card, network), card.n_samples, ["vectors"], stated)
    write_output(path, content, force=force)
    return path


def export(
    config: Config,
    run_name: str,
    out_path: Path | None = None,
    *,
    masks: bool = False,
    force: bool | None = None,
) -> Path:
    """Write the network of a run as one ONNX file, on the CPU whatever it was trained on.

    By default the file is `model.onnx` in the run folder.

    Raises:
        SedmtlError: There is no such run, it has no masks to be exported, onnxscript is not
            installed, or the file cannot be written, or is the user's and not to be overwritten by
            `force`.
    """
    run = find_run(config.work_dir / "runs", run_name)
    path = out_path or run / "model.onnx"
    check_output(path, force=force)
    card, network = load_model(run)
    if card.encoder is not None:
        raise SedmtlError(
            f"the run {run.name} listens through the encoder {card.encoder.name}, which export "
            "cannot put into the file: use the run with sedmtl predict or sedmtl.load"
        )
    if masks and "separate" not in card.heads:
        raise SedmtlError(
            f"--masks: the run {run.name} has learned no masks: expected one that was trained with "
            "--task separate"
        )
    head = load_heads(run)["separate"] if masks else None
    write_output(path, build_graph(card, network, run.resolve().name, head), force=force)
    return path


def build_graph(
    card: ModelCard, network: nn.Module, run_name: str, masks: nn.Module | None = None
) -> bytes:
    """Export a network, in float32 whatever it was trained in.

    Input `waveform` (B, n_samples) float32, mono, at the sample rate of the metadata; outputs
    `clip` (B, C) and `frame` (B, C, T) in [0, 1], and with the head of `separate` also `mask`
    (B, C, T, F), by which magnitudes of the mixture are multiplied. B is free.

    The scores are those of the detector in float32 but for rounding: of ten trained networks within
    1e-5, or 2.3e-4 where the second step is local. That one takes logits of values near 1, and in
    PyTorch, too, float32 is 1.2e-4 away from float64 there.

    Returns:
        The content of an ONNX file that needs no other beside it.

    Raises:
        SedmtlError: onnxscript is not installed.
    """
    outputs = ["clip", "frame", *(["mask"] if masks is not None else [])]
    scorer = ClipScorer(card, network, masks)
    return to_onnx(scorer, card.n_samples, outputs, _metadata(card, run_name))


def to_onnx(
    module: nn.Module, n_samples: int, outputs: Sequence[str], metadata: Mapping[str, str]
) -> bytes:
    """Export a module that takes waveforms (B, n_samples), with B free.

    Raises:
        SedmtlError: onnxscript is not installed.
    """
    try:
        from onnxscript.optimizer import fold_constants_ir, remove_unused_nodes
    except ImportError as error:
        raise SedmtlError(
            "the export needs onnx and onnxscript: install them with pip install 'sedmtl[onnx]'"
        ) from error
    with _quiet_exporter():
        program = torch.onnx.export(
            module.eval(),
            (torch.zeros(2, n_samples),),  # one would fix B if weights are channels-last
            dynamo=True,
            opset_version=OPSET,
            input_names=["waveform"],
            output_names=list(outputs),
            dynamic_shapes={"waveform": {0: torch.export.Dim("batch")}},
            # It takes 1e-8 for 0: the floor of the log-mel would go, and silence would be NaN.
            optimize=False,
            verbose=False,
        )
    assert program is not None
    # Without this onnxruntime warns of constants that it cannot fold.
    fold_constants_ir(program.model)
    remove_unused_nodes(program.model)
    for node in program.model.graph:
        node.metadata_props.clear()  # stack traces, with the paths of this machine
    program.model.metadata_props.update(metadata)
    content: bytes = program.model_proto.SerializeToString()
    return content


def _metadata(card: ModelCard, run_name: str) -> dict[str, str]:
    """What the scores mean: strings as they are, all else as JSON."""
    values: dict[str, Any] = {
        "sedmtl_version": sedmtl.__version__,
        "run": run_name,
        "classes": card.classes,
        "sample_rate": card.sample_rate,
        "n_samples": card.n_samples,
        "hop_s": card.grid.hop_s,
        "first_edge_s": card.grid.first_edge_s,
        "tag_threshold": card.tag_threshold,
        "postprocessing": asdict(card.postprocessing),
    }
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in values.items()
    }


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter from warning of missing torchvision and of what it calls in torch."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Of its own parts, deprecated ones and, in torch 2.14, how it takes a GRU's weights.
            for category in (FutureWarning, UserWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        registration.setLevel(level)
