"""`sedmtl eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sedmtl.cli import options, output

OtherStore = Annotated[
    Path | None,
    typer.Option(
        "--on",
        metavar="STORE",
        help="Score on another feature store of the same plan: moved onsets, another SNR.",
    ),
]
JsonPath = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the results to FILE.")
]
PerClass = Annotated[bool, typer.Option("--per-class", help="Also show the metrics of each class.")]
Denoise = Annotated[
    bool,
    typer.Option(
        "--denoise", help="Also compare reconstructions with the events without the scene."
    ),
]
Separation = Annotated[
    bool,
    typer.Option(
        "--separation", help="Also compare separated sounds with the events of each class."
    ),
]


def command(
    runs: options.Runs = None,
    on: OtherStore = None,
    json: JsonPath = None,
    per_class: PerClass = False,
    denoise: Denoise = False,
    separation: Separation = False,
    force: options.Force = False,
    config: options.ConfigPath = options.DATA_YAML,
) -> None:
    """Score runs on their held-out folds: which sounds, and when, if event times are known."""
    from sedmtl.evaluation.evaluate import evaluate
    from sedmtl.report.figures import draw_score_curves

    project = options.load_project(config)
    evaluated = evaluate(
        project, runs or [], json, on,
        per_class=per_class, denoise=denoise, separation=separation, force=force,
    )  # fmt: skip
    output.show(evaluated.tables)
    draw_score_curves(project.work_dir / "eval", evaluated.rows, force=force)
