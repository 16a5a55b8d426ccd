"""`sedmtl embed`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sedmtl.cli import options, output

OutPath = Annotated[
    Path,
    typer.Option("--out", metavar="FILE", help="The output: .h5, .npy (with a .tsv) or .parquet."),
]
Run = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="Use the encoder of this run (name or path); default: the encoder of data.yaml.",
    ),
]
OnnxPath = Annotated[
    Path | None,
    typer.Option(
        "--onnx", metavar="FILE", help="Use an encoder that 'sedmtl export --encoder' wrote."
    ),
]


def command(
    audio: options.AudioPaths,
    out: OutPath,
    run: Run = None,
    onnx: OnnxPath = None,
    force: options.Force = False,
    config: options.ConfigPath = options.DATA_YAML,
) -> None:
    """Write the vectors over time that a frozen encoder, or a run, computes for recordings."""
    from sedmtl.inference.embed import embed

    if run and onnx:
        raise typer.BadParameter("--run and --onnx exclude each other")
    if onnx:
        options.check_readable("--onnx", onnx)
    project = options.load_project_if_any(config)
    files, error = embed(project, audio, out, run_name=run, onnx_path=onnx, force=force)
    output.echo(files)
    if error:
        raise error
