"""Event clips and scenes, and how to find them in the folder and table of a corpus."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.tables import read_table

Row = Mapping[str, str]


@dataclass(frozen=True)
class EventClip:
    """A recording of one sound event.

    Attributes:
        name: Its name in the corpus; unique, without absolute paths.
        recording: The original recording it was cut from; clips of one recording share a fold.
        usable: Whether it may be mixed; an unusable clip is still assigned to a fold, as in the
            paper.
    """

    name: str
    path: Path
    label: str
    recording: str
    usable: bool = True


@dataclass(frozen=True)
class Scene:
    """A background recording.

    Attributes:
        name: Its name in the corpus; unique, without absolute paths.
        location: Where it was recorded; scenes of one location can be kept in one fold.
    """

    name: str
    path: Path
    label: str
    location: str


def find_root(root: Path, marker: str, published_name: str) -> Path:
    """The folder that holds `marker`: `root` itself or the published folder inside it.

    Raises:
        SedmtlError: Neither has it.
    """
    for candidate in (root, root / published_name):
        if (candidate / marker).exists():
            return candidate
    found = "a folder without it" if root.is_dir() else "no such folder"
    raise SedmtlError(f"expected {marker} in {root}, found {found}: check the root in data.yaml")


def listed_files(
    table: Path,
    root: Path,
    columns: Sequence[str],
    expected: str,
    *,
    delimiter: str = ",",
    fits: Callable[[Row], bool] = lambda _: True,
) -> list[tuple[Row, Path]]:
    """Read the rows of a table and the paths of the files below `root` they name, sorted by name.

    Each row must have values in all `columns`, the first of which holds the names, and pass `fits`.

    Raises:
        SedmtlError: The table or a column is missing, a row is not as `expected`, or a file has
            two rows or is outside the folder.
    """
    rows = read_table(table, columns, delimiter, unique=columns[0])
    for row in rows:
        if not all(row[column] for column in columns) or not fits(row):
            raise SedmtlError(f"{table}: {expected}, found {row}")
    rows.sort(key=lambda row: row[columns[0]])
    return [(row, file_below(root, row[columns[0]], table)) for row in rows]


def file_below(root: Path, name: str, table: Path) -> Path:
    """Path of a file that a table row names.

    Raises:
        SedmtlError: The file is outside the folder: a table must not make us read other files.
    """
    way = Path(os.path.normpath(name))
    if way.is_absolute() or ".." in way.parts or "\0" in name:
        raise SedmtlError(
            f"{table}: expected the name of a file below {root}, found {name!r}: use a "
            "path relative to that folder"
        )
    return root / name
