"""`sedmtl predict`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sedmtl.cli import options, output
from sedmtl.inference.exporters import FORMATS

# One kind of option per panel of the help.
EVENTS = "What counts as an event (default: as tuned on the run's inner validation)"
event = partial(typer.Option, rich_help_panel=EVENTS)
snippet = partial(typer.Option, rich_help_panel="Snippets: events as audio files to listen to")
how = partial(typer.Option, rich_help_panel="How")


def _threshold(text: str) -> tuple[str, float]:
    label, _, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise typer.BadParameter(f"should be from 0 to 1, or CLASS=0.3, found {text}")
    return label, value


def _format(name: str) -> str:
    if name not in FORMATS:
        raise typer.BadParameter(f"should be one of {', '.join(FORMATS)}")
    return name


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
    bool,
    typer.Option(
        "--tags",
        help="Also write tags.tsv: the classes in each recording, by clip scores. Tags have "
        "their own thresholds, which --threshold does not change.",
    ),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--classes", metavar="A,B,C", help=f"Classes to detect; default: all. {options.AGAIN}"
    ),
]
Stdout = Annotated[
    Literal["summary", "events"],
    typer.Option("--stdout", help="What to print: a summary, or the content of events.tsv."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no summary.")]
Thresholds = Annotated[
    list[Any] | None,
    event(
        "--threshold",
        parser=_threshold,
        metavar="[CLASS=]SCORE",
        help=f"An event is active where its score exceeds this. {options.AGAIN}",
    ),
]
ThresholdTable = Annotated[
    Path | None,
    event(
        "--thresholds",
        metavar="TSV",
        help="Thresholds of classes that 'sedmtl relabel' wrote; --threshold overrides them.",
    ),
]
Hysteresis = Annotated[
    float | None,
    event(
        "--hysteresis",
        min=0,
        max=1,
        metavar="SHARE",
        help="An event continues while its score is above this share of the threshold; no effect "
        "on boxes, which have one score each.",
    ),
]
Median = Annotated[
    float | None,
    event(
        "--median",
        min=0,
        max=60,
        metavar="S",
        help="Length of the median filter, in seconds; replaces boxes.",
    ),
]
Gap = Annotated[
    float | None,
    event("--gap", min=0, metavar="S", help="Fill pauses up to this long, in seconds."),
]
MinDuration = Annotated[
    float | None,
    event("--min-duration", min=0, metavar="S", help="Drop events shorter than this, in seconds."),
]
AreSnippets = Annotated[
    bool,
    snippet("--snippets", help="Write each event to snippets/CLASS/SCORE_FILE_ONSET_CLASS.wav."),
]
Context = Annotated[
    float | None,
    snippet(
        "--context",
        min=0,
        max=60,
        metavar="S",
        help="Audio before and after the event, in seconds; default: 1.",
    ),
]
PerClass = Annotated[
    int | None,
    snippet(
        "--per-class",
        min=1,
        metavar="N",
        help="Cut only the N highest-scoring events of each class.",
    ),
]
SnippetFormat = Annotated[
    Literal["wav", "flac"] | None, snippet("--snippet-format", help="Default: wav.")
]
BatchSize = Annotated[int, how("--batch-size", min=1, help="Windows per batch.")]
Gpus = Annotated[
    int | None, how("--gpus", min=0, max=1, help="Default: a GPU if there is one; 0 uses the CPU.")
]


def command(
    audio: options.AudioPaths,
    run: options.Run = None,
    out: PredictionsDir = None,
    format: Formats = None,
    tags: Tags = False,
    classes: Classes = None,
    stdout: Stdout = "summary",
    quiet: Quiet = False,
    threshold: Thresholds = None,
    thresholds: ThresholdTable = None,
    hysteresis: Hysteresis = None,
    median: Median = None,
    gap: Gap = None,
    min_duration: MinDuration = None,
    snippets: AreSnippets = False,
    context: Context = None,
    per_class: PerClass = None,
    snippet_format: SnippetFormat = None,
    batch_size: BatchSize = 8,
    gpus: Gpus = None,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    encoder: options.EncoderPath = None,
    force: options.Force = False,
    config: options.ConfigPath = options.DATA_YAML,
) -> None:
    """Detect events in recordings of any length: events.tsv, and a summary on stdout.

    Rerun an interrupted batch to resume it.
    """
    from sedmtl.inference.predict import predict
    from sedmtl.inference.predict_options import PredictOptions
    from sedmtl.inference.snippets import Snippets
    from sedmtl.review.relabel import read_thresholds

    asked: dict[str, Any] = {"context_s": context, "per_class": per_class, "ending": snippet_format}
    how_cut = {name: value for name, value in asked.items() if value is not None}
    if how_cut and not snippets:
        raise typer.BadParameter("--context, --per-class and --snippet-format need --snippets")
    cut = Snippets(**how_cut) if snippets else None
    fitted, network = read_thresholds(thresholds) if thresholds else ([], "")
    given = [*fitted, *(threshold or ())]
    how = PredictOptions(
        run, out, format or (), tags, classes or (), given, network, cut, hysteresis, median, gap,
        min_duration, batch_size, gpus, options.count_workers(workers, scheduler), scheduler,
        force=force,
    )  # fmt: skip
    result = predict(options.load_project_if_any(config, encoder), audio, how)
    if stdout == "events":
        output.echo(result.table.splitlines())
    elif not quiet:
        output.echo(result.summary)
    if result.error:
        raise result.error
