"""`sedmtl relabel`."""

from __future__ import annotations

from typing import Annotated

import typer

from sedmtl.cli import options, output

MinPrecision = Annotated[
    float | None,
    typer.Option(
        "--min-precision",
        min=0,
        max=1,
        metavar="SHARE",
        help="For each class, choose the lowest threshold whose precision is confidently above "
        "this share; default: the threshold of its best F1.",
    ),
]


def command(
    reviews: options.Reviews = None,
    min_precision: MinPrecision = None,
    force: options.Force = False,
    config: options.ConfigPath = options.DATA_YAML,
) -> None:
    """Turn the verdicts of `review` into corrected labels, strong labels and thresholds.

    Prints what changes, then writes new tables next to the old ones.
    """
    from sedmtl.review.relabel import relabel

    project = options.load_project_if_any(config)
    found = relabel(project, reviews or options.reviews_beside(config), min_precision=min_precision)
    output.echo(found.lines)
    output.echo(found.write(force=force))
