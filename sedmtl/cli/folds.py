"""`sedmtl folds`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sedmtl.cli import options, output

Csv = Annotated[Path, typer.Argument(help="A table with the columns filename and labels.")]
Number = Annotated[int, typer.Option("--folds", min=2, max=255, help="Number of folds.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="CSV", help="The copy; default: TABLE_folds.csv next to the table."
    ),
]


def command(table: Csv, folds: Number = 4, out: Out = None, force: options.Force = False) -> None:
    """Copy a table of recordings and add a column fold, balanced by class.

    Files with the same value in a column recording or group stay together. Run it again when you
    have added recordings to the table: the folds of an earlier copy stay as they are.
    """
    from collections import Counter

    from sedmtl.data.folds import write_folds
    from sedmtl.runtime.progress import say

    path = out or table.with_name(f"{table.stem.removesuffix('_folds')}_folds.csv")
    counts = Counter(write_folds(table, folds, path, force=force).tolist())
    listed = ", ".join(f"{counts[number]} in fold {number}" for number in sorted(counts))
    say(f"recordings: {listed}; name this table in corpus.clips.csv of data.yaml")
    output.echo([path])
