"""`sedmtl demo`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sedmtl.cli import options

DemoDir = Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder to make.")]


def command(folder: DemoDir = Path("demo"), workers: options.Workers = None) -> None:
    """Make a small project on the built-in corpus, from mixtures to a picture: a few minutes."""
    from sedmtl.cli.demo_project import demo
    from sedmtl.cli.tables import show

    made = demo(folder, options.count_workers(workers))
    show(made.tables)
    typer.echo(
        f"figure of {made.clip_path.name}, a held-out mixture: the strong recipe, with high scores "
        "where a class is present (left); the paper's network (right):"
    )
    typer.echo(f"  {made.picture_path}")
    # The work folder of an edited data.yaml may lie elsewhere.
    other = os.path.relpath(made.clip_path.with_name(made.other_clip), folder)
    typer.echo("what next:")
    for words, purpose in (
        (f"cd {folder}", "go to the project; edit its data.yaml"),
        (f"sedmtl visualize {other}", "draw another mixture"),
        (f"sedmtl visualize {other} --html", "the same mixture as an interactive page"),
        (
            f"sedmtl train --fold 2 {made.train_options}",
            "train the next fold of the cross-validation",
        ),
        ("sedmtl eval", "average both folds"),
        (f"sedmtl predict {other}", "detect its events; works on any recording"),
    ):
        typer.echo(f"  {words}\n      {purpose}")
