"""Tables of results in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from sedmtl.evaluation.tables import Sheet


def show(sheets: Sequence[Sheet], console: Console | None = None) -> None:
    """Print tables, and the notes below each; by default on stdout."""
    console = console or Console(highlight=False)
    for sheet in sheets:
        table = Table(title=sheet.title, title_justify="left", title_style="bold",
                      box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))  # fmt: skip
        for i, name in enumerate(sheet.columns):
            table.add_column(name, justify="left" if i < sheet.n_left else "right", no_wrap=True)
        for cells in sheet.rows:
            table.add_row(*cells)
        console.print(table)
        for note in sheet.notes:
            console.print(note, markup=False)
