"""Tables that people wrote: CSV and TSV with named columns, checked at the door. A leaf."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from sedmtl.errors import SedmtlError


def read_table(path: Path, columns: Sequence[str], delimiter: str = ",") -> list[dict[str, str]]:
    """Read a CSV or TSV that must have the given columns; others are kept as they are.

    Raises:
        SedmtlError: The file cannot be read, a column is missing, or it holds no row.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, delimiter=delimiter, skipinitialspace=True)
            found = table.fieldnames or []
            missing = [name for name in columns if name not in found]
            if missing:
                raise SedmtlError(
                    f"{path} should have the columns {', '.join(columns)}; missing: "
                    f"{', '.join(missing)}; found: {', '.join(found) or 'nothing'}"
                )
            rows = [
                {key: (value or "").strip() for key, value in row.items() if key} for row in table
            ]
    except FileNotFoundError:
        raise SedmtlError(f"no table {path}: check the paths in data.yaml") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SedmtlError(f"cannot read the table {path}: {error}") from error
    if not rows:
        raise SedmtlError(f"{path} has a header and no row")
    return rows
