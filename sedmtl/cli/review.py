"""`sedmtl review`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import typer

from sedmtl.cli import options, output
from sedmtl.runtime.text import counted

AudioPaths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[AUDIO]...",
        help="Audio files and folders; default: the labelled recordings of data.yaml, scored by "
        "runs that held them out.",
    ),
]
Runs = Annotated[
    list[str] | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="The first run proposes, all vote; default: the newest finished one, or for labelled "
        f"recordings the newest of each fold. {options.AGAIN}",
    ),
]
ByOption = Annotated[
    Literal["uncertain", "suspicious", "class", "new"] | None,
    typer.Option(
        "--by",
        help="uncertain: near thresholds, or scores disagree; suspicious: labels that are probably "
        "wrong; class: N of each class over all scores, to fit thresholds; new: at random. "
        "Default: uncertain, or suspicious for labelled recordings.",
    ),
]
Number = Annotated[
    int | None,
    typer.Option(
        "--n",
        min=1,
        max=1000,
        metavar="N",
        help="Number of snippets; default: 50, or 20 per class with --by class.",
    ),
]
Classes = Annotated[
    list[str] | None,
    typer.Option("--classes", metavar="A,B,C", help=f"Only these classes. {options.AGAIN}"),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="FILE",
        help="Review the events in this file or folder instead of a run's: events.tsv, Audacity, "
        "Raven, BirdNET.",
    ),
]
Context = Annotated[
    float,
    typer.Option(
        "--context",
        min=0,
        max=30,
        metavar="S",
        help="Sound shown on each side of an event, in seconds.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the random choice.")]
Reviewer = Annotated[
    str | None,
    typer.Option("--reviewer", metavar="NAME", help="Name of the listener; default: the user."),
]
Serve = Annotated[
    bool,
    typer.Option(
        "--serve/--no-serve", help="Serve the page on this machine, or only write the file."
    ),
]
Merge = Annotated[
    Path | None,
    typer.Option(
        "--merge", metavar="TSV", help="Only add the verdicts that the page without a server saved."
    ),
]


def command(
    audio: AudioPaths = None,
    run: Runs = None,
    by: ByOption = None,
    n: Number = None,
    classes: Classes = None,
    labels: Labels = None,
    context: Context = 2.0,
    seed: Seed = 0,
    reviewer: Reviewer = None,
    serve: Serve = True,
    merge: Merge = None,
    reviews: options.Reviews = None,
    workers: options.Workers = None,
    config: options.ConfigPath = options.DATA_YAML,
) -> None:
    """Listen to the snippets that are most worth hearing, and judge them.

    Verdicts go to reviews.tsv; `sedmtl relabel` turns them into labels and thresholds.
    """
    import os

    from sedmtl.review import review as reviewing
    from sedmtl.review.verdicts import open_reviews
    from sedmtl.runtime.progress import say

    by = by or ("uncertain" if audio or labels else "suspicious")
    asked = reviewing.ReviewOptions(
        run or (), by, n or (20 if by == "class" else 50), classes or (), context, seed,
        reviewer or os.environ.get("USER", ""), labels, options.count_workers(workers),
    )  # fmt: skip
    path = reviews or options.reviews_beside(config)
    project = options.load_project_if_any(config)
    with open_reviews(path) as table:
        if merge:
            output.echo([f"{counted(reviewing.merge(table, merge), 'verdict')} added to {path}"])
            return
        session = reviewing.prepare(project, audio or (), table, asked)
        output.echo([reviewing.write_page(project, session)])
        if serve:
            n_before = len(table.reviews)
            with reviewing.open_server(session, table) as server, suppress(KeyboardInterrupt):
                say("open this address in a browser; Ctrl-C ends the review")
                output.echo([server.url])
                server.serve_forever()
            say(
                f"{counted(len(table.reviews) - n_before, 'line')} added to {path}: 'sedmtl "
                "relabel' uses them"
            )
