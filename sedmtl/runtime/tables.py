"""CSV and TSV tables with named columns, validated when they are read."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.regular import open_to_read


def read_table(
    path: Path, columns: Sequence[str], delimiter: str = ",", *, unique: str | None = None
) -> list[dict[str, str]]:
    """Read a CSV or TSV that must have the given columns; other columns are kept unchanged.

    The values of the column `unique`, if any, must be present and distinct.

    Raises:
        SedmtlError: The file cannot be read, a column is missing, a row has more values than
            columns, a value of `unique` is empty or repeated, or there are no rows.
    """
    try:
        with open_to_read(path, "r", encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, delimiter=delimiter, skipinitialspace=True)
            table.fieldnames = found = [name.strip() for name in table.fieldnames or []]
            missing = [name for name in columns if name not in found]
            if missing:
                raise SedmtlError(
                    f"{path} should have the columns {', '.join(columns)}; missing: "
                    f"{', '.join(missing)}; found: {', '.join(found) or 'nothing'}"
                    f"{_other_separator(found, delimiter)}"
                )
            rows = [_clean(row, f"{path}, line {table.line_num}") for row in table]
    except FileNotFoundError:
        raise SedmtlError(f"no table {path}: check the paths in data.yaml") from None
    except OSError as error:
        raise SedmtlError(f"cannot read the table {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SedmtlError(
            f"{path} is not in UTF-8, found the byte {error.object[error.start]:#x}: save it as "
            "UTF-8, which spreadsheets call 'CSV UTF-8'"
        ) from error
    except csv.Error as error:
        raise SedmtlError(f"cannot read the table {path}: {error}") from error
    if not rows:
        raise SedmtlError(f"{path} has a header but no rows: add at least one")
    if any(all(row[name] == name for name in columns) for row in rows):
        raise SedmtlError(f"{path} repeats its header: keep only the first line")
    if unique:
        _check_unique([row[unique] for row in rows], unique, path)
    return rows


def _other_separator(found: Sequence[str], delimiter: str) -> str:
    """In words, the separator that the columns seem to have in place of the right one."""
    names = {",": "','", ";": "';'", "\t": "tabs", "|": "'|'"}
    for other, name in names.items():
        if other != delimiter and len(found) == 1 and other in found[0]:
            return f"; the columns are separated by {name}, expected {names[delimiter]}"
    return ""


def _clean(row: Mapping[str | Any, str | Any], where: str) -> dict[str, str]:
    # The csv module files the values beyond the last column under None.
    beyond = [value for value in row.get(None, []) if value.strip()]
    if beyond:
        raise SedmtlError(
            f"{where}: expected {len(row) - 1} values, found another one, {beyond[0].strip()!r}; "
            "put double quotes around a value that contains the separator"
        )
    return {key: (value or "").strip() for key, value in row.items() if key}


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
