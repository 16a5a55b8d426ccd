"""Exports a trained network as one ONNX graph, for use without sedmtl or PyTorch.

Waveform in, scores out: the graph includes peak scaling, the front end and the standardiser, but
not the decoder. Earlier steps (averaging channels, resampling, cutting or padding to the clip
length) and post-processing are not included; the metadata has their parameters. onnxscript is
imported only when needed, here and in `onnx_encoder`.
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
from sedmtl.inference.checkpoint import Checkpoint, load_encoder, read_checkpoint
from sedmtl.inference.model_card import ModelCard
from sedmtl.inference.onnx_encoder import EncoderFrames, put_in, read_graph
from sedmtl.inference.onnx_parity import check_parity
from sedmtl.inference.runs import find_run
from sedmtl.inference.scorer import ClipEncoder, ClipScorer, HeadScorer, Scorer
from sedmtl.runtime import progress
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.outputs import check_output, write_output
from sedmtl.store import EncoderCard

OPSET = 18
"""The exporter's native version, which avoids conversions; STFT exists since 17."""


def export_encoder(
    config: Config, run_name: str, out_path: Path | None = None, *, force: bool | None = None
) -> Path:
    """Write the convolutional encoder of a run as a file for `features.encoder`.

    By default the file is `encoder.onnx` in the run folder. Its metadata has all settings that
    data.yaml would otherwise need.

    Raises:
        SedmtlError: As in `export`, or the run itself uses a frozen encoder.
    """
    saved, path = _begin(config, run_name, out_path, "encoder.onnx", force=force)
    card, folder = saved.card, saved.folder
    if card.encoder is not None:
        raise SedmtlError(
            f"--encoder: the run {folder.name} uses the frozen encoder {card.encoder.name}: "
            "expected a run with an encoder of its own, such as of pooled or 2apae"
        )
    stated = {
        "sedmtl_version": sedmtl.__version__,
        "run": folder.resolve().name,
        "sample_rate": str(card.sample_rate),
        "window_s": repr(card.duration_s),
        "input": "waveform",
        "axes": "TD",
    }
    inputs = {"waveform": (card.n_samples,)}
    content = to_onnx(ClipEncoder(card, saved.network()), inputs, ["vectors"], stated)
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
    """Write the network of a run as one ONNX file; runs on the CPU.

    By default the file is `model.onnx` in the run folder. It includes the frozen encoder if
    possible.

    Raises:
        SedmtlError: The run does not exist or has no masks to export, its encoder is not where
            data.yaml says, onnxscript is not installed, or the file cannot be written or is the
            user's and `force` is off.
    """
    saved, path = _begin(config, run_name, out_path, "model.onnx", force=force)
    card, folder = saved.card, saved.folder
    if masks and "separate" not in card.heads:
        raise SedmtlError(
            f"--masks: the run {folder.name} has learned no masks: expected one that was trained "
            "with --task separate"
        )
    head = saved.heads()["separate"] if masks else None
    encoder = load_encoder(folder, card, config.encoder_path) if _has_room(card) else None
    content = build_graph(card, saved.network(), folder.resolve().name, head, encoder)
    write_output(path, content, force=force)
    if card.encoder is not None:
        progress.say(_encoder_note(path, card, card.encoder, is_inside=encoder is not None))
    return path


def _begin(
    config: Config, run_name: str, out_path: Path | None, name: str, *, force: bool | None
) -> tuple[Checkpoint, Path]:
    """Read the run, and check the path of the output, by default `name` in the run folder."""
    folder = find_run(config.work_dir / "runs", run_name)
    path = out_path or folder / name
    check_output(path, force=force)
    return read_checkpoint(folder), path


def _has_room(card: ModelCard) -> bool:
    """Whether the graph can include a run's encoder: it must be ONNX, at the input's sample rate.

    The graph has no resampler, and a log-mel input requires the clip's own rate.
    """
    encoder = card.encoder
    if encoder is None or encoder.runtime != "onnx":
        return False
    return encoder.sample_rate == card.sample_rate or "logmel" not in card.network.inputs


def _encoder_note(path: Path, card: ModelCard, encoder: EncoderCard, *, is_inside: bool) -> str:
    """A message about how the exported file relates to the run's encoder."""
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
    """Export a network, always in float32.

    The input is `waveform` (B, n_samples) float32, mono, at the sample rate in the metadata. The
    outputs are `clip` (B, C) and `frame` (B, C, T) in [0, 1], and with the head of `separate` also
    `mask` (B, C, T, F), to multiply the mixture's magnitudes by. B is dynamic.

    If a network takes encoder frames, the graph includes `encoder` if given; otherwise it has an
    input `frames` (B, T', D) instead of `waveform`, or in addition to it if the network also takes
    the log-mel.

    The scores equal the detector's in float32 except for rounding: within 1e-5 for ten trained
    networks, or 2.3e-4 with a local second step. That step computes logits of values near 1, where
    PyTorch's float32 also differs from float64 by 1.2e-4.

    Returns:
        The content of a self-contained ONNX file.

    Raises:
        SedmtlError: onnxscript is not installed, or the encoder cannot be included.
    """
    outputs = ["clip", "frame", *(["mask"] if masks is not None else [])]
    scorer: Scorer
    sample_rate = card.sample_rate
    inputs: dict[str, tuple[int, ...]] = {"waveform": (card.n_samples,)}
    if card.encoder is None:
        scorer = ClipScorer(card, network, masks)
    elif encoder is None:
        scorer = HeadScorer(card, network, masks)
        waveform = inputs if "logmel" in card.network.inputs else {}
        frames = (card.encoder.n_frames(card.duration_s), card.encoder.n_dims)
        inputs = {"frames": frames, **waveform}
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
        module: The module.
        inputs: Names and shapes of its inputs, without the first axis, which is dynamic.
        outputs: Names of its outputs.
        metadata: Metadata of the file.
        encoder: The encoder of the module's `EncoderFrames`, if it has one.

    Raises:
        SedmtlError: onnxscript is not installed, the encoder cannot be included, or the graph
            computes something else than the module.
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
            # With a single clip, B would become static for channels-last weights.
            tuple(torch.zeros(2, *shape) for shape in inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes={name: {0: batch} for name in inputs},
            # The optimiser treats 1e-8 as 0: without the log-mel's floor, silence would be NaN.
            optimize=False,
            verbose=False,
        )
    assert program is not None
    # Otherwise onnxruntime warns about constants that it cannot fold.
    fold_constants_ir(program.model)
    remove_unused_nodes(program.model)
    for node in program.model.graph:
        node.metadata_props.clear()  # stack traces with local paths
    if encoder is not None:
        with _quiet_exporter():
            put_in(program.model, read_graph(encoder))
    program.model.metadata_props.update(metadata)
    content: bytes = program.model_proto.SerializeToString()
    check_parity(content, module, inputs, outputs)
    return content


def _metadata(
    card: ModelCard, run_name: str, sample_rate: int, *, is_inside: bool
) -> dict[str, str]:
    """Metadata for interpreting the scores: strings as is, everything else as JSON."""
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
    """Silence the exporter's warnings about torchvision, deprecated calls and conversions."""
    names = ("torch.onnx._internal.exporter._registration", "onnxscript.version_converter")
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in names}
    for logger in levels:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # About its own deprecated parts and, in torch 2.14, its handling of GRU weights.
            for category in (FutureWarning, UserWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
