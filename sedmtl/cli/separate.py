"""`sedmtl separate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sedmtl.cli import options, output

Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--classes",
        metavar="A,B,C",
        help=f"Classes to separate; default: those detected. {options.AGAIN}",
    ),
]
SourcesDir = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Where to write the recording's folder: AUDIO, or AUDIO-2 if another recording "
        "already has that name; default: work/separated.",
    ),
]


def command(
    audio: options.AudioPath,
    run: options.Run = None,
    classes: Classes = None,
    out: SourcesDir = None,
    config: options.ConfigPath = options.DATA_YAML,
) -> None:
    """Separate a recording into one WAV file per detected class, and one for the remainder.

    The files have the recording's channels and sample rate, and add up to it.
    """
    from sedmtl.inference.separate import separate

    project = options.load_project_if_any(config)
    made = separate(project, audio, run_name=run, out_dir=out, classes=classes or ())
    sources = [f"{score:6.3f}  {path}" for score, path in made.sources]
    output.echo([f"run {made.run.name}", *sources, f"        {made.rest}"])
