"""`sedmtl embed`: writes embeddings of recordings, from an encoder or a run, to a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import numpy as np

from sedmtl.config import Config, EncoderFile
from sedmtl.data import audio
from sedmtl.features.encoder import Encoder, EncoderError, open_encoder
from sedmtl.inference.detector import Detector, check_encodes
from sedmtl.inference.embedding import Embedding
from sedmtl.inference.runs import find_run
from sedmtl.inference.sources import Source, find_sources
from sedmtl.inference.vector_files import ENDINGS, Writer, open_writer, paths_of
from sedmtl.runtime import progress
from sedmtl.runtime.atomic import hidden_file
from sedmtl.runtime.errors import SedmtlError, suggest
from sedmtl.runtime.outputs import Outputs
from sedmtl.runtime.workers.threads import all_cores, map_in_order, threads

Embed = Callable[[Path], Embedding]


def embed(
    config: Config,
    paths: Sequence[Path],
    out_path: Path,
    *,
    run_name: str | None = None,
    onnx_path: Path | None = None,
    force: bool = False,
) -> tuple[list[Path], SedmtlError | None]:
    """Write the embeddings over time of every recording in files and folders.

    Args:
        config: Has the encoder, unless a run or an ONNX file is given.
        paths: Audio files and folders.
        out_path: `.h5`, `.npy` (with a table next to it) or `.parquet`.
        run_name: A run whose encoder is used.
        onnx_path: An encoder file with complete metadata, as from `sedmtl export --encoder`.
        force: Whether to overwrite the user's files.

    Returns:
        The files, and an error to end with if some recordings cannot be read; the files hold the
        others.

    Raises:
        SedmtlError: There is no recording or no encoder, or the file has an unknown extension or
            cannot be written.
    """
    if out_path.suffix not in ENDINGS:
        raise SedmtlError(
            f"expected a file that ends in {', '.join(ENDINGS)}, found {out_path}: "
            f"{suggest(out_path.suffix, ENDINGS)}"
        )
    outputs, files = Outputs(out_path.parent, force=force), paths_of(out_path)
    outputs.check(files)
    to_vectors, source = _choose(config, run_name, onnx_path)
    n_workers = all_cores() if run_name is None else 1  # PyTorch has its own threads
    progress.say(f"vectors of {source}")
    sources = find_sources(paths)
    with ExitStack() as stack:
        parts = [stack.enter_context(hidden_file(path)) for path in files]
        with closing(open_writer(out_path.suffix, parts, source)) as writer:
            errors = _fill(writer, to_vectors, sources, n_workers)
        for path, part in zip(files, parts, strict=True):
            outputs.take(path, part)
    left = f"{len(errors)} of {len(sources)} recordings cannot be read; the others are written"
    return files, SedmtlError(left) if errors else None


def _fill(
    writer: Writer, to_vectors: Embed, sources: Sequence[Source], n_workers: int
) -> list[SedmtlError]:
    """Write the vectors of recordings; returns the errors of those that failed.

    Raises:
        SedmtlError: All of them failed.
    """
    errors: list[SedmtlError] = []
    bar = progress.progress("embedding", len(sources), unit="recordings")
    with threads(n_workers) as workers, bar as advance:
        made = map_in_order(partial(_attempt, to_vectors), sources, workers)
        for each, result in zip(sources, made, strict=True):
            if isinstance(result, SedmtlError):
                errors.append(result)
            else:
                writer.append(each.name, result.frame_edges_s, result.frame)
            advance(1)
    if len(errors) == len(sources):
        raise audio.as_one(errors, len(sources))
    for error in errors:
        progress.say(str(error))
    return errors


def _attempt(to_vectors: Embed, source: Source) -> Embedding | SedmtlError:
    try:
        return to_vectors(source.path)
    except SedmtlError as error:
        return error


def embed_file(encoder: Encoder, path: Path) -> Embedding:
    """Compute an encoder's frames over a recording of any length, without rescaling it.

    Raises:
        SedmtlError: The recording cannot be read, or the encoder fails on it.
    """
    blocks = audio.stream(path, encoder.card.sample_rate)
    try:
        frame = np.concatenate(list(encoder.stream(blocks)))
    except EncoderError as error:
        raise error.where(path) from error
    return Embedding(frame, np.arange(len(frame) + 1) / encoder.card.rate_hz)


def _choose(config: Config, run_name: str | None, onnx_path: Path | None) -> tuple[Embed, str]:
    """The embedding function and its description."""
    section = config.features.encoder
    if run_name is not None:
        run = find_run(config.work_dir / "runs", run_name)
        detector = Detector.load(run, encoder=config.encoder_path)
        check_encodes(detector.card)
        return detector.embed, f"the run {run.name}"
    if onnx_path is not None:
        encoder = _open_stating(onnx_path)
    elif section is not None:
        encoder = open_encoder(section, config.locate(section.path))
    else:
        raise SedmtlError(
            "nothing to embed with: name an encoder with features.encoder in data.yaml or with "
            "--onnx, or a run with --run"
        )
    card = encoder.card
    named = f"the encoder {card.name}, SHA-256 {card.sha256}, licence: {card.licence}"
    return partial(embed_file, encoder), named


def _open_stating(path: Path) -> Encoder:
    """Open an encoder whose metadata replaces the settings in data.yaml."""
    try:
        return Encoder.open(EncoderFile(onnx=path), path)
    except SedmtlError as error:
        raise SedmtlError(
            f"--onnx: {error} (the option takes a file with complete metadata, as 'sedmtl export "
            "--encoder' writes: name another one with features.encoder in data.yaml)"
        ) from error
