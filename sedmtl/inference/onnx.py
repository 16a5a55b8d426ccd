"""A trained network as one ONNX graph, for places that have neither sedmtl nor PyTorch.

Waveform in, scores out: the scaling to a peak, the front end and the standardiser are in the graph,
the decoder is not. What is done before (channels averaged, resampled, cut or padded to the clip
length) and after (post-processing) is not; what they need to know is in the metadata. onnxscript is
imported when it is used, here and in `onnx_encoder`.
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
from torch import nn

import sedmtl
from sedmtl.config import Config
from sedmtl.features.encoder import Encoder
from sedmtl.inference.checkpoint import load_encoder, load_heads, load_model
from sedmtl.inference.model_card import ModelCard
from sedmtl.inference.onnx_encoder import EncoderFrames, put_in, read_graph
from sedmtl.inference.runs import find_run
from sedmtl.inference.scorer import ClipEncoder, ClipScorer, HeadScorer, Scorer
from sedmtl.runtime import progress
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.outputs import check_output, write_output
from sedmtl.store import EncoderCard

OPSET = 18
"""The exporter's own, so that nothing is converted; STFT is there from 17 on."""


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
    inputs = {"waveform": (card.n_samples,)}
    content = to_onnx(ClipEncoder(card, network), inputs, ["vectors"], stated)
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

    By default the file is `model.onnx` in the run folder. A frozen encoder is in it if it can be.

    Raises:
        SedmtlError: There is no such run, it has no masks to be exported, its encoder is not where
            data.yaml says, onnxscript is not installed, or the file cannot be written, or is the
            user's and not to be overwritten by `force`.
    """
    run = find_run(config.work_dir / "runs", run_name)
    path = out_path or run / "model.onnx"
    check_output(path, force=force)
    card, network = load_model(run)
    if masks and "separate" not in card.heads:
        raise SedmtlError(
            f"--masks: the run {run.name} has learned no masks: expected one that was trained with "
            "--task separate"
        )
    head = load_heads(run)["separate"] if masks else None
    encoder = load_encoder(run, card, config.encoder_path) if _has_room(card) else None
    write_output(path, build_graph(card, network, run.resolve().name, head, encoder), force=force)
    if card.encoder is not None:
        progress.say(_of_encoder(path, card, card.encoder, is_inside=encoder is not None))
    return path


def _has_room(card: ModelCard) -> bool:
    """Whether the encoder of a run can be in the graph: in ONNX, at the rate of what goes in.

    The resampler is not in the graph, and a log-mel beside the frames is of the clip's own rate.
    """
    encoder = card.encoder
    if encoder is None or encoder.runtime != "onnx":
        return False
    return encoder.sample_rate == card.sample_rate or "logmel" not in card.network.inputs


def _of_encoder(path: Path, card: ModelCard, encoder: EncoderCard, *, is_inside: bool) -> str:
    """What there is to know of a file and the encoder that its run listens through."""
    what = f"{encoder.name} (SHA-256 {encoder.sha256[:12]}…, licence: {encoder.licence})"
    if is_inside:
        rate = encoder.sample_rate
        other = f"; it takes audio of {rate} Hz, the encoder's" * (rate != card.sample_rate)
        return f"{path.name} holds the encoder {what}{other}"
    return (
        f"{path.name} holds the network without the encoder {what}: it takes the encoder's frames "
        f"as 'frames', {encoder.n_frames(card.duration_s)} of {encoder.n_dims} values for a clip"
    )


def build_graph(
    card: ModelCard,
    network: nn.Module,
    run_name: str,
    masks: nn.Module | None = None,
    encoder: Encoder | None = None,
) -> bytes:
    """Export a network, in float32 whatever it was trained in.

    Input `waveform` (B, n_samples) float32, mono, at the sample rate of the metadata; outputs
    `clip` (B, C) and `frame` (B, C, T) in [0, 1], and with the head of `separate` also `mask`
    (B, C, T, F), by which magnitudes of the mixture are multiplied. B is free.

    A network that takes frames has its encoder in the graph if it is given, and otherwise the input
    `frames` (B, T', D), in place of `waveform` or, if it takes a log-mel, too, beside it.

    The scores are those of the detector in float32 but for rounding: of ten trained networks within
    1e-5, or 2.3e-4 where the second step is local. That one takes logits of values near 1, and in
    PyTorch, too, float32 is 1.2e-4 away from float64 there.

    Returns:
        The content of an ONNX file that needs no other beside it.

    Raises:
        SedmtlError: onnxscript is not installed, or the encoder cannot be brought into the graph.
    """
    outputs = ["clip", "frame", *(["mask"] if masks is not None else [])]
    scorer: Scorer
    sample_rate = card.sample_rate
    inputs: dict[str, tuple[int, ...]] = {"waveform": (card.n_samples,)}
    if card.encoder is None:
        scorer = ClipScorer(card, network, masks)
    elif encoder is None:
        scorer = HeadScorer(card, network, masks)
        beside = inputs if "logmel" in card.network.inputs else {}
        frames = (card.encoder.n_frames(card.duration_s), card.encoder.n_dims)
        inputs = {"frames": frames, **beside}
    else:
        sample_rate = card.encoder.sample_rate
        n_samples = round(card.duration_s * sample_rate)
        scorer = ClipScorer(
            card, network, masks, EncoderFrames(encoder, n_samples, card.duration_s)
        )
        inputs = {"waveform": (n_samples,)}
    metadata = _metadata(card, run_name, sample_rate, is_inside=encoder is not None)
    return to_onnx(scorer, inputs, outputs, metadata, encoder)


def to_onnx(
    module: nn.Module,
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Sequence[str],
    metadata: Mapping[str, str],
    encoder: Encoder | None = None,
) -> bytes:
    """Export a module.

    Args:
        module: What is exported.
        inputs: Names and shapes of what it takes, but for the first axis, which is free.
        outputs: Names of what it gives.
        metadata: Of the file.
        encoder: Of whose frames there are `EncoderFrames` in the module.

    Raises:
        SedmtlError: onnxscript is not installed, or the encoder cannot be brought into the graph.
    """
    try:
        from onnxscript.optimizer import fold_constants_ir, remove_unused_nodes
    except ImportError as error:
        raise SedmtlError(
            "the export needs onnx and onnxscript: install them with pip install 'sedmtl[onnx]'"
        ) from error
    batch = torch.export.Dim("batch")
    with _quiet_exporter():
        program = torch.onnx.export(
            module.eval(),
            # One clip would fix B if weights are channels-last.
            tuple(torch.zeros(2, *shape) for shape in inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes={name: {0: batch} for name in inputs},
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
    if encoder is not None:
        with _quiet_exporter():
            put_in(program.model, read_graph(encoder))
    program.model.metadata_props.update(metadata)
    content: bytes = program.model_proto.SerializeToString()
    return content


def _metadata(
    card: ModelCard, run_name: str, sample_rate: int, *, is_inside: bool
) -> dict[str, str]:
    """What the scores mean: strings as they are, all else as JSON."""
    values: dict[str, Any] = {
        "sedmtl_version": sedmtl.__version__,
        "run": run_name,
        "classes": card.classes,
        "sample_rate": sample_rate,
        "n_samples": round(card.duration_s * sample_rate),
        "hop_s": card.grid.hop_s,
        "first_edge_s": card.grid.first_edge_s,
        "tag_threshold": card.tag_threshold,
        "postprocessing": asdict(card.postprocessing),
    }
    if card.encoder is not None:
        facts = {key: value for key, value in asdict(card.encoder).items() if key != "path"}
        values["encoder"] = {"name": card.encoder.name, "is_inside": is_inside, **facts}
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in values.items()
    }


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter from warning of missing torchvision, and of what it calls and converts."""
    names = ("torch.onnx._internal.exporter._registration", "onnxscript.version_converter")
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in names}
    for logger in levels:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Of its own parts, deprecated ones and, in torch 2.14, how it takes a GRU's weights.
            for category in (FutureWarning, UserWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
