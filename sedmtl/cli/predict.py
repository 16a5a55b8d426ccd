"""`sedmtl predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sedmtl.cli import options, output
from sedmtl.inference.exporters import FORMATS

EVENTS = "What counts as an event (default: as tuned on the run's inner validation)"
HOW = "How"


def _format(name: str) -> str:
    if name not in FORMATS:
        raise typer.BadParameter(f"should be one of {', '.join(FORMATS)}")
    return name


AudioPaths = Annotated[
    list[Path], typer.Argument(metavar="AUDIO", help="Audio files, and folders of them.")
]
PredictionsDir = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Where to write; default: work/predictions."),
]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        parser=_format,
        metavar="NAME",
        help=f"Also write one file per recording: {', '.join(FORMATS)}. {options.AGAIN}",
    ),
]
Tags = Annotated[
    bool, typer.Option("--tags", help="Also write tags.tsv: the classes of each recording.")
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        min=0,
        max=1,
        help="An event is active where its score is above this.",
        rich_help_panel=EVENTS,
    ),
]
Hysteresis = Annotated[
    float | None,
    typer.Option(
        "--hysteresis",
        min=0,
        max=1,
        metavar="SHARE",
        help="An event continues while its score is above this share of the threshold; boxes "
        "have one score each.",
        rich_help_panel=EVENTS,
    ),
]
Median = Annotated[
    float | None,
    typer.Option(
        "--median",
        min=0,
        max=60,
        metavar="S",
        help="Length of the median filter, in seconds; in place of boxes.",
        rich_help_panel=EVENTS,
    ),
]
Gap = Annotated[
    float | None,
    typer.Option(
        "--gap",
        min=0,
        metavar="S",
        help="Fill pauses up to this long, in seconds.",
        rich_help_panel=EVENTS,
    ),
]
MinDuration = Annotated[
    float | None,
    typer.Option(
        "--min-duration",
        min=0,
        metavar="S",
        help="Drop events shorter than this, in seconds.",
        rich_help_panel=EVENTS,
    ),
]
BatchSize = Annotated[
    int,
    typer.Option("--batch-size", min=1, help="Windows per batch.", rich_help_panel=HOW),
]
Gpus = Annotated[
    int | None,
    typer.Option(
        "--gpus",
        min=0,
        max=1,
        help="Default: a GPU if there is one; 0 uses the CPU.",
        rich_help_panel=HOW,
    ),
]


def command(
    audio: AudioPaths,
    run: options.Run = None,
    out: PredictionsDir = None,
    format: Formats = None,
    tags: Tags = False,
    threshold: Threshold = None,
    hysteresis: Hysteresis = None,
    median: Median = None,
    gap: Gap = None,
    min_duration: MinDuration = None,
    batch_size: BatchSize = 8,
    gpus: Gpus = None,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    force: options.Force = False,
    config: options.ConfigPath = options.DATA_YAML,
) -> None:
    """Detect the events in recordings of any length; print the table and write events.tsv.

    Rerun an interrupted batch to resume it.
    """
    from sedmtl.inference.predict import PredictOptions, predict

    how = PredictOptions(
        run, out, tuple(format or ()), tags, threshold, hysteresis, median, gap, min_duration,
        batch_size, gpus, options.count_workers(workers, scheduler), scheduler, force,
    )  # fmt: skip
    result = predict(options.load_project_if_any(config), audio, how)
    output.echo(result.table.splitlines())
    if result.error:
        raise result.error
