"""Escaping of untrusted text, such as file and class names or server responses, for display.

One function for each place that gives characters a special meaning: a terminal line, a Markdown
cell, a spreadsheet cell, a file name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that control a terminal, start a new line or reverse the writing direction, and the
lone surrogates that stand for bytes that are not UTF-8."""

MARKDOWN = re.compile(r"[\\`*\[\]<>|~$&]|(?<![^\W_])_|_(?![^\W_])")
"""Characters with a meaning in Markdown; an underscore within a word has none."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""First characters of a cell that spreadsheets evaluate as a formula (OWASP, "CSV Injection")."""


NAME_WANTED = "a folder name of letters, digits, '_', '.', '+' and '-'"


def is_name(text: str) -> bool:
    """Whether text can name a data set or a run: it becomes part of file names."""
    return re.fullmatch(r"\w[\w.+-]*", text) is not None


def printable(text: str) -> str:
    r"""One line for a terminal, with control characters escaped, as in `\x1b`."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def encoded(text: str) -> bytes:
    r"""Encode as UTF-8; bytes of a name that is not UTF-8 are escaped, as in `\udcff`."""
    return text.encode(errors="backslashreplace")


def markdown_cell(text: str) -> str:
    """Text that appears literally in a Markdown table, heading or list item."""
    return MARKDOWN.sub(r"\\\g<0>", printable(text))


def csv_cell(text: str) -> str:
    """A cell that a spreadsheet reads as text or a number, never as a formula.

    A would-be formula gets a leading apostrophe, the spreadsheets' own convention.
    """
    return f"'{text}" if text.startswith(FORMULA) and not _is_number(text) else text


def file_name(text: str) -> str:
    """A file or folder name, not a path, that any file system accepts unless it is too long."""
    return re.sub(r"[^\w.+() -]", "_", text).strip(". ") or "_"


def counted(number: int, noun: str) -> str:
    """`1 verdict`, `1,200 verdicts`, `2 classes`."""
    several = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else several}"


def aligned(rows: Sequence[Sequence[str]], n_left: int = 1) -> list[str]:
    """Format rows of cells as lines: the first `n_left` columns left-aligned, the others right."""
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
