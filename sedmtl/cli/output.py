"""Output of commands on stdout: lines and result tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.text import printable

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod

    from sedmtl.evaluation.tables import Table


def echo(lines: Iterable[object]) -> None:
    """Print each item on a line."""
    text = "\n".join(printable(str(line)) for line in lines)
    if text:
        with _stdout():
            typer.echo(text)


def show(tables: Sequence[Table], console: Console | None = None) -> None:
    """Print tables with their notes, by default on stdout."""
    import rich.table
    from rich import box
    from rich.console import Console

    from sedmtl.runtime.progress import plain

    console = console or Console()
    for wide in tables:
        table = wide.narrow() if _width(wide) > console.width else wide
        # Without edges, the widest table fits 80 columns.
        printed = rich.table.Table(
            box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False
        )
        for i, name in enumerate(table.columns):
            justify: JustifyMethod = "left" if i < table.n_left else "right"
            printed.add_column(plain(name), justify=justify, no_wrap=justify == "right")
        for cells in table.rows:
            printed.add_row(*map(plain, cells))
        with _stdout():
            console.print(plain(table.title), style="bold")
            console.print(printed)
            for note in table.notes:
                console.print(plain(note))
            console.print()


def _width(table: Table) -> int:
    """Width of a table in a terminal: its cells, and two characters between them."""
    columns = zip(table.columns, *table.rows, strict=True)
    return sum(2 + max(map(len, column)) for column in columns) - 2


@contextmanager
def _stdout() -> Iterator[None]:
    """Explain why stdout cannot be written, unless its reader, such as `head`, has closed it.

    Raises:
        SedmtlError: For example, it is a file on a full disk.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SedmtlError(f"cannot print the results on stdout: {error.strerror}") from error
