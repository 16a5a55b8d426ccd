"""Files of embeddings over time, written one recording at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.text import csv_cell
from sedmtl.store import VectorFile

Times = npt.NDArray[np.float64]
Frames = npt.NDArray[np.floating[Any]]

ENDINGS = (".h5", ".npy", ".parquet")

ROWS_TOGETHER = 8_192
"""Minimum vectors per Parquet row group, except the last."""


class Writer(Protocol):
    """Writes one kind of file."""

    def append(self, name: str, edges_s: Times, vector: Frames) -> None:
        """Add a recording: its name, the time boundaries (T + 1,) and the vectors (T, D)."""

    def close(self) -> None:
        """Complete and close the file."""


def paths_of(path: Path) -> list[Path]:
    """The files that are written for a path: a `.npy` is accompanied by a table."""
    return [path, path.with_suffix(".tsv")] if path.suffix == ".npy" else [path]


def open_writer(kind: str, paths: Sequence[Path], source: str) -> Writer:
    """Open a writer for a kind of file.

    Args:
        kind: One of `ENDINGS`.
        paths: Empty files, in the order of `paths_of`.
        source: Description of the encoder and its licence.

    Raises:
        SedmtlError: A library is missing.
    """
    if kind == ".npy":
        return NpyWriter(*paths)
    return (VectorFile if kind == ".h5" else ParquetWriter)(paths[0], source)


class NpyWriter:
    """A NumPy array (N, D), and a table with the recording and times of each row."""

    def __init__(self, array: Path, table: Path) -> None:
        self._array, self._table = array.open("r+b"), table.open("r+b")
        self._table.write(b"filename\tonset\toffset\n")
        self._n_rows, self._like = 0, np.zeros((0, 0), np.float32)

    def append(self, name: str, edges_s: Times, vector: Frames) -> None:
        """Add a recording."""
        if not self._n_rows:
            self._like = vector[:0]
            self._write_header()
        self._array.write(np.ascontiguousarray(vector).data)
        self._n_rows += len(vector)
        cell = csv_cell(name)
        for onset_s, offset_s in pairwise(edges_s):
            self._table.write(f"{cell}\t{onset_s:.3f}\t{offset_s:.3f}\n".encode())

    def close(self) -> None:
        """Write the final number of rows, and close the files."""
        with self._array, self._table:
            self._array.seek(0)
            self._write_header()

    def _write_header(self) -> None:
        # NumPy reserves space in the header for a longer first axis.
        header = np.lib.format.header_data_from_array_1_0(self._like)
        header["shape"] = (self._n_rows, *self._like.shape[1:])
        np.lib.format.write_array_header_1_0(self._array, header)


class ParquetWriter:
    """Parquet with the columns `filename`, `onset`, `offset` and `vector`."""

    def __init__(self, path: Path, source: str) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError as error:
            raise SedmtlError(
                "a .parquet needs pyarrow: install it with pip install 'sedmtl[parquet]', or name "
                "a file that ends in .h5 or .npy"
            ) from error
        self._arrow, self._parquet = pyarrow, parquet
        self._path, self._source = path, source
        self._writer: Any = None
        self._held: list[Any] = []

    def append(self, name: str, edges_s: Times, vector: Frames) -> None:
        """Add a recording."""
        values = self._arrow.array(np.ascontiguousarray(vector).ravel())
        columns = {
            "filename": [name] * len(vector),
            "onset": edges_s[:-1],
            "offset": edges_s[1:],
            "vector": self._arrow.FixedSizeListArray.from_arrays(values, vector.shape[1]),
        }
        table = self._arrow.table(columns).replace_schema_metadata({"source": self._source})
        self._held.append(table)
        if sum(each.num_rows for each in self._held) >= ROWS_TOGETHER:
            self._write()

    def close(self) -> None:
        """Write the remaining rows, and close the file."""
        if self._held:
            self._write()
        if self._writer is not None:
            self._writer.close()

    def _write(self) -> None:
        table = self._arrow.concat_tables(self._held)
        if self._writer is None:
            self._writer = self._parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)
        self._held = []
