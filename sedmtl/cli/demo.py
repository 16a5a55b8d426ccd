"""`sedmtl demo`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from sedmtl.cli import options, output

DemoDir = Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder of the project.")]


def command(folder: DemoDir = Path("demo"), workers: options.Workers = None) -> None:
    """Make a small project on the built-in corpus, from mixtures to a picture, in a few minutes."""
    from sedmtl.cli.demo_project import demo

    made = demo(folder, options.count_workers(workers))
    output.show(made.tables)
    # The work folder of an edited data.yaml may be elsewhere.
    other = shlex.quote(os.path.relpath(made.clip_path.with_name(made.other_clip), folder))
    steps = (
        (shlex.join(["cd", str(folder)]), "go to the project; edit its data.yaml"),
        (f"sedmtl visualize {other}", "draw another mixture"),
        (f"sedmtl visualize {other} --html", "the same mixture as an interactive page"),
        ("sedmtl train --fold 2 --recipe strong", "train the next fold of the cross-validation"),
        ("sedmtl eval", "average both folds"),
        (f"sedmtl predict {other}", "detect its events; works on any recording"),
    )
    output.echo(
        [
            f"figure of {made.clip_path.name}, a held-out mixture: the strong recipe, with high "
            "scores where a class is present (left); the paper's network (right):",
            f"  {made.picture_path}",
            "what next:",
            *(line for words, purpose in steps for line in (f"  {words}", f"      {purpose}")),
        ]
    )
