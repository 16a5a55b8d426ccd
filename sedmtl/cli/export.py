"""`sedmtl export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sedmtl.cli import options, output

RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name or path of a finished run.")]
OnnxPath = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", help="Default: model.onnx or encoder.onnx in the run folder."
    ),
]
Encoder = Annotated[
    bool,
    typer.Option(
        "--encoder", help="Export only the run's encoder, for features.encoder in data.yaml."
    ),
]

Masks = Annotated[
    bool,
    typer.Option("--masks", help="Also export the classes' masks, if the run has learned them."),
]


def command(
    run: RunName,
    out: OnnxPath = None,
    masks: Masks = False,
    encoder: Encoder = False,
    force: options.Force = False,
    config: options.ConfigPath = options.DATA_YAML,
) -> None:
    """Export a network to ONNX for use without sedmtl: waveform in, scores out."""
    from sedmtl.inference.onnx import export, export_encoder

    if encoder and masks:
        raise typer.BadParameter("--encoder and --masks exclude each other")
    project = options.load_project(config)
    if encoder:
        output.echo([export_encoder(project, run, out, force=force)])
    else:
        output.echo([export(project, run, out, masks=masks, force=force)])
