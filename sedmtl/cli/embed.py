"""`sedmtl embed`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sedmtl.cli import options, output

OutPath = Annotated[
    Path,
    typer.Option("--out", metavar="FILE", help="Ends in .h5, .npy (and a .tsv) or .parquet."),
]
Run = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="Name or path of a run, whose encoder to use; default: the encoder of data.yaml.",
    ),
]
OnnxPath = Annotated[
    Path | None,
    typer.Option("--onnx", metavar="FILE", help="An encoder of 'sedmtl export --encoder'."),
]


def command(
    audio: options.AudioPaths,
    out: OutPath,
    run: Run = None,
    onnx: OnnxPath = None,
    force: options.Force = False,
    config: options.ConfigPath = options.DATA_YAML,
) -> None:
    """Write the vectors over time that an encoder, or a run, makes of recordings."""
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
