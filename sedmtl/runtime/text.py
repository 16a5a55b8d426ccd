"""Text from elsewhere - names of files and classes, answers of servers - made inert where it shows.

One function for each place that gives characters a meaning of their own: a line of a terminal, a
cell of Markdown, a cell of a spreadsheet, the name of a file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves a terminal's cursor, colours or clears it, begins another line or reverses the
direction of writing; and the halves of surrogate pairs that stand for bytes that are not UTF-8."""

MARKDOWN = re.compile(r"[\\`*\[\]<>|~$&]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown gives a meaning to; an underscore within a word has none."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""First characters of a cell that make spreadsheets compute it (OWASP, "CSV Injection")."""


NAME_WANTED = "a folder name of letters, digits, '_', '.', '+' and '-'"


def is_name(text: str) -> bool:
    """Whether data or a run can be called so: the name stands in names of files."""
    return re.fullmatch(r"\w[\w.+-]*", text) is not None


def printable(text: str) -> str:
    r"""One line for a terminal: what would control it is spelt out, as in `\x1b`."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def encoded(text: str) -> bytes:
    r"""UTF-8; the bytes of a name that is not UTF-8 are spelt out, as in `\udcff`."""
    return text.encode(errors="backslashreplace")


def markdown_cell(text: str) -> str:
    """Text in a table, a heading or an item of Markdown that shows as it is."""
    return MARKDOWN.sub(r"\\\g<0>", printable(text))


def csv_cell(text: str) -> str:
    """A cell that a spreadsheet takes for text or a number, never for a formula.

    An apostrophe goes before what would be one, as spreadsheets themselves do it.
    """
    return f"'{text}" if text.startswith(FORMULA) and not _is_number(text) else text


def file_name(text: str) -> str:
    """A name that any file system takes for a file or folder, not a path; perhaps too long."""
    return re.sub(r"[^\w.+() -]", "_", text).strip(". ") or "_"


def counted(number: int, noun: str) -> str:
    """`1 verdict`, `1,200 verdicts`, `2 classes`."""
    several = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else several}"


def aligned(rows: Sequence[Sequence[str]], n_left: int = 1) -> list[str]:
    """Rows of cells as lines: the first columns to the left, those of numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < n_left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isprintable()
