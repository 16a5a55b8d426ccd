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
        f"picture of {made.clip_path.name}, a held-out mixture: with the local attention step "
        "(left) presence is high, beside the paper's dense step (right):"
    )
    typer.echo(f"  {made.picture_path}")
    # The work folder of an edited data.yaml may lie elsewhere.
    other = os.path.relpath(made.clip_path.with_name(made.other_clip), folder)
    typer.echo("what next:")
    for words, purpose in (
        (f"cd {folder}", "the project; edit its data.yaml"),
        (f"sedmtl visualize {other}", "look at another mixture"),
        (f"sedmtl visualize {other} --html", "the same as a page to play and explore"),
        (f"sedmtl train --fold 2 {made.train_options}", "the next fold of the cross-validation"),
        ("sedmtl eval", "both folds, averaged"),
        (f"sedmtl predict {other}", "its events; works on any recordings"),
    ):
        typer.echo(f"  {words}\n      {purpose}")
