"""`sedmtl visualize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sedmtl.cli import options, output

Compare = Annotated[
    str | None, typer.Option("--compare", metavar="RUN", help="Draw a second run side by side.")
]
Start = Annotated[
    float,
    typer.Option("--start", min=0, metavar="S", help="Start of the clip in the file, in seconds."),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--classes",
        metavar="A,B,C",
        help="Classes to show; attention over mel bins is drawn for the first two. "
        f"{options.AGAIN}",
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="FILE",
        help="True events to draw: events.tsv, labels from Audacity, Raven or BirdNET, or a folder "
        "of such files.",
    ),
]
Html = Annotated[
    bool, typer.Option("--html", help="Write a page to play and explore instead of a picture.")
]
PicturePath = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="A png, pdf, svg or html file; default: work/figures/AUDIO.png, or AUDIO-2.png if "
        "another recording already has that name.",
    ),
]


def command(
    audio: options.AudioPath,
    run: options.Run = None,
    compare: Compare = None,
    start: Start = 0.0,
    classes: Classes = None,
    labels: Labels = None,
    html: Html = False,
    out: PicturePath = None,
    encoder: options.EncoderPath = None,
    force: options.Force = False,
    config: options.ConfigPath = options.DATA_YAML,
) -> None:
    """Draw what a network attends to in an audio file: the panels of the paper's figure 3."""
    from sedmtl.report.visualize import visualize

    path, used, inspection = visualize(
        options.load_project_if_any(config, encoder), audio, run_name=run,
        compare_name=compare, start_s=start, classes=classes or (), labels_path=labels,
        as_page=html, out_path=out, force=force,
    )  # fmt: skip
    ranking = [f"{score:6.3f}  {label}" for label, score in inspection.ranking()[:5]]
    output.echo([f"run {used.name}", *ranking, path])
