"""CSV and TSV tables with named columns, validated when they are read."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.progress import say
from sedmtl.runtime.regular import read_bytes


class TableRow(dict[str, str]):
    """The values of a row by column; `line` is the line of the file where the row ends."""

    def __init__(self, values: Mapping[str, str], line: int) -> None:
        super().__init__(values)
        self.line = line


def read_table(
    path: Path, columns: Sequence[str], delimiter: str = ",", *, unique: str | None = None
) -> list[TableRow]:
    """Read a CSV or TSV that must have the given columns; other columns are kept unchanged.

    The values of the column `unique`, if any, must be present and distinct.

    Raises:
        SedmtlError: The file cannot be read, a column is missing, a row has more values than
            columns, a value of `unique` is empty or repeated, or there are no rows.
    """
    rows = parse_table(table_text(path), path, columns, delimiter)
    if not rows:
        raise SedmtlError(f"{path} has a header but no rows: add at least one")
    if unique:
        _check_unique([row[unique] for row in rows], unique, path)
    return rows


def table_text(path: Path, fallback: str | None = None) -> str:
    """Read the text of a table in UTF-8, or in UTF-16 if it begins with a byte order mark.

    Args:
        path: The table.
        fallback: Encoding to use, with a warning, if it is neither; None raises an error.

    Raises:
        SedmtlError: The table cannot be read.
    """
    try:
        content = read_bytes(path)
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return content.decode("utf-16")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            if fallback is None:
                raise
            text = content.decode(fallback)
            say(f"warning: {path} is not in UTF-8 and is read as {fallback}: check its accents")
            return text
    except FileNotFoundError:
        raise SedmtlError(
            f"no table {path}: check this path, which the command or data.yaml names"
        ) from None
    except OSError as error:
        raise SedmtlError(f"cannot read the table {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SedmtlError(
            f"{path} is not in UTF-8, found the byte {error.object[error.start]:#x}: save it as "
            "UTF-8, which spreadsheets call 'CSV UTF-8'"
        ) from error


def parse_table(
    text: str, path: Path, columns: Sequence[str], delimiter: str, *, quoted: bool = True
) -> list[TableRow]:
    """Parse the rows of a table as in `read_table`; there may be none.

    Args:
        text: The table.
        path: Its file, for error messages.
        columns: Columns that it must have.
        delimiter: Separator of the values in a row.
        quoted: Whether double quotes enclose values; otherwise they are part of the value.
    """
    file = io.StringIO(text, newline="")
    try:
        table = csv.DictReader(
            file,
            delimiter=delimiter,
            skipinitialspace=True,
            quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        )
        table.fieldnames = found = [name.strip() for name in table.fieldnames or []]
        missing = [name for name in columns if name not in found]
        if missing:
            raise SedmtlError(
                f"{path} should have the columns {', '.join(columns)}; missing: "
                f"{', '.join(missing)}; found: {', '.join(found) or 'nothing'}"
                f"{_other_separator(found, delimiter)}"
            )
        rows = [_clean(row, path, table.line_num) for row in table]
    except csv.Error as error:
        raise SedmtlError(f"cannot read the table {path}: {error}") from error
    if any(all(row[name] == name for name in columns) for row in rows):
        raise SedmtlError(f"{path} repeats its header: keep only the first line")
    return rows


def _other_separator(found: Sequence[str], delimiter: str) -> str:
    """End of an error message that names the separator which the table seems to use instead."""
    names = {",": "','", ";": "';'", "\t": "tabs", "|": "'|'"}
    for other, name in names.items():
        if other != delimiter and len(found) == 1 and other in found[0]:
            return f"; the columns are separated by {name}, expected {names[delimiter]}"
    return ""


def _clean(row: Mapping[str | Any, str | Any], path: Path, line: int) -> TableRow:
    # The csv module files the values beyond the last column under None.
    beyond = [value for value in row.get(None, []) if value.strip()]
    if beyond:
        raise SedmtlError(
            f"{path}, line {line}: expected {len(row) - 1} values, found another one, "
            f"{beyond[0].strip()!r}; put double quotes around a value that contains the separator"
        )
    return TableRow({key: (value or "").strip() for key, value in row.items() if key}, line)


def _check_unique(values: Sequence[str], column: str, path: Path) -> None:
    for value, count in Counter(values).items():
        if not value:
            raise SedmtlError(
                f"{path}: each row needs a {column}, missing in {count} of {len(values)} rows"
            )
        if count > 1:
            raise SedmtlError(
                f"{path}: expected each {column} once, found {value} {count} times: keep one row"
            )
