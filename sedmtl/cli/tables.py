"""Tables of results in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import rich.table
from rich import box
from rich.console import Console

from sedmtl.evaluation.tables import Table


def show(tables: Sequence[Table], console: Console | None = None) -> None:
    """Print tables, and the notes below each; by default on stdout."""
    console = console or Console(highlight=False)
    for table in tables:
        # Without edges, the widest table fits 80 columns.
        printed = rich.table.Table(
            box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False
        )
        for i, name in enumerate(table.columns):
            printed.add_column(name, justify="left" if i < table.n_left else "right", no_wrap=True)
        for cells in table.rows:
            printed.add_row(*cells)
        console.print(table.title, style="bold", markup=False)
        console.print(printed)
        for note in table.notes:
            console.print(note, markup=False)
        console.print()
