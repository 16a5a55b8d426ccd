"""`sedmtl embed`: recordings -> the vectors of an encoder or of a run, in a file."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from sedmtl.config import Config, EncoderFile
from sedmtl.data import audio
from sedmtl.features.encoder import Encoder
from sedmtl.inference.detector import Detector
from sedmtl.inference.embedding import Embedding
from sedmtl.inference.runs import find_run
from sedmtl.inference.sources import Source, find_sources
from sedmtl.runtime import progress
from sedmtl.runtime.errors import SedmtlError, suggest
from sedmtl.runtime.outputs import Outputs
from sedmtl.runtime.text import csv_cell
from sedmtl.runtime.workers.threads import all_cores, map_in_order, threads
from sedmtl.store import Vectors, hdf5_bytes

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
    """Write the vectors over time of every recording in files and folders.

    Args:
        config: Names the encoder, unless there is a run or an ONNX file.
        paths: Audio files and folders.
        out_path: `.h5`, `.npy` (with a table beside it) or `.parquet`.
        run_name: A run, whose encoder is used.
        onnx_path: A file that says all of itself, as one of `sedmtl export --encoder`.
        force: Whether files that are the user's are overwritten.

    Returns:
        The files, and what to end with if recordings cannot be read; the others are in the files.

    Raises:
        SedmtlError: There is no recording or nothing that makes vectors, or the file has another
            ending or cannot be written.
    """
    if out_path.suffix not in WRITERS:
        raise SedmtlError(
            f"expected a file that ends in {', '.join(WRITERS)}, found {out_path}: "
            f"{suggest(out_path.suffix, WRITERS)}"
        )
    outputs = Outputs(out_path.parent, force=force)
    outputs.check([out_path, *([_rows_path(out_path)] if out_path.suffix == ".npy" else [])])
    to_vectors, source = _choose(config, run_name, onnx_path)
    n_workers = all_cores() if run_name is None else 1  # PyTorch has its own threads
    progress.say(f"vectors of {source}")
    found: dict[str, Embedding] = {}
    errors: list[SedmtlError] = []
    sources = find_sources(paths)
    bar = progress.progress("embedding", len(sources), unit="recordings")
    with threads(n_workers) as workers, bar as advance:
        made = map_in_order(partial(_attempt, to_vectors), sources, workers)
        for each, result in zip(sources, made, strict=True):
            if isinstance(result, SedmtlError):
                progress.say(str(result))
                errors.append(result)
            else:
                found[each.name] = result
            advance(1)
    if not found:
        raise audio.as_one(errors, len(sources))
    files = WRITERS[out_path.suffix](out_path, _joined(found, source))
    for path, content in files.items():
        outputs.write(path, content)
    left = f"{len(errors)} of {len(sources)} recordings cannot be read; the others are written"
    return list(files), SedmtlError(left) if errors else None


def _attempt(to_vectors: Embed, source: Source) -> Embedding | SedmtlError:
    try:
        return to_vectors(source.path)
    except SedmtlError as error:
        return error


def embed_file(encoder: Encoder, path: Path) -> Embedding:
    """The frames of an encoder over a recording of any length, at its own level.

    Raises:
        SedmtlError: The recording cannot be read, or its vectors are not finite.
    """
    rate_hz = encoder.card.rate_hz
    frame = np.concatenate(list(encoder.stream(audio.stream(path, encoder.card.sample_rate))))
    if not np.isfinite(frame).all():
        at = int(np.argmin(np.isfinite(frame).all(axis=1)))
        raise SedmtlError(
            f"the encoder {encoder.card.name} gives NaN or infinity for {path} at "
            f"{at / rate_hz:.2f} s"
        )
    return Embedding(frame, np.arange(len(frame) + 1) / rate_hz)


def _choose(config: Config, run_name: str | None, onnx_path: Path | None) -> tuple[Embed, str]:
    """What makes vectors, and what it is called."""
    section = config.features.encoder
    if run_name is not None:
        run = find_run(config.work_dir / "runs", run_name)
        return Detector.load(run, encoder=config.encoder_path).embed, f"the run {run.name}"
    if onnx_path is not None:
        section, path = EncoderFile(onnx=onnx_path), onnx_path
    elif section is not None:
        path = config.locate(section.path)
    else:
        raise SedmtlError(
            "nothing to embed with: name an encoder with features.encoder in data.yaml or with "
            "--onnx, or a run with --run"
        )
    encoder = Encoder.open(section, path)
    card = encoder.card
    named = f"the encoder {card.name}, SHA-256 {card.sha256}, licence: {card.licence}"
    return lambda file: embed_file(encoder, file), named


def _joined(found: Mapping[str, Embedding], source: str) -> Vectors:
    lengths = [len(each.frame) for each in found.values()]
    edges_s = [each.frame_edges_s for each in found.values()]
    return Vectors(
        name=list(found),
        recording=np.repeat(np.arange(len(found), dtype=np.int32), lengths),
        onset_s=np.concatenate([each[:-1] for each in edges_s]),
        offset_s=np.concatenate([each[1:] for each in edges_s]),
        vector=np.concatenate([each.frame for each in found.values()]),
        source=source,
    )


def _rows_path(path: Path) -> Path:
    """The table beside a `.npy`."""
    return path.with_suffix(".tsv")


def _npy(path: Path, vectors: Vectors) -> dict[Path, bytes]:
    content = io.BytesIO()
    np.save(content, vectors.vector, allow_pickle=False)
    times = zip(vectors.recording, vectors.onset_s, vectors.offset_s, strict=True)
    rows = [
        f"{csv_cell(vectors.name[recording])}\t{onset_s:.3f}\t{offset_s:.3f}\n"
        for recording, onset_s, offset_s in times
    ]
    table = "filename\tonset\toffset\n" + "".join(rows)
    return {path: content.getvalue(), _rows_path(path): table.encode()}


def _parquet(path: Path, vectors: Vectors) -> dict[Path, bytes]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise SedmtlError(
            "a .parquet needs pyarrow: install it with pip install pyarrow, or name a file that "
            "ends in .h5 or .npy"
        ) from error
    columns = {
        "filename": [vectors.name[recording] for recording in vectors.recording],
        "onset": vectors.onset_s,
        "offset": vectors.offset_s,
        "vector": list(vectors.vector),
    }
    table = pyarrow.table(columns).replace_schema_metadata({"source": vectors.source})
    content = io.BytesIO()
    parquet.write_table(table, content)
    return {path: content.getvalue()}


WRITERS = {
    ".h5": lambda path, vectors: {path: hdf5_bytes(vectors)},
    ".npy": _npy,
    ".parquet": _parquet,
}
"""By the ending of the file: the contents of the files."""
