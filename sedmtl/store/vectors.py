"""The vectors of recordings in an HDF5 file, for other programs: `sedmtl embed`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sedmtl.runtime.disk_space import reserve
from sedmtl.store.file import open_file
from sedmtl.store.tables import write_strings

CHUNK_BYTES = 1 << 15

SPARE_BYTES = 1 << 21
"""Upper bound of what HDF5 itself adds: the rest of the last chunks, and their index."""


class VectorFile:
    """Vectors over time, one recording after the other.

    `vector` (N, D); `onset_s`, `offset_s` (N,) between which each stands; `recording` (N,) its
    recording's row in `name`; the attribute `source`, what made them and its licence.

    Args:
        path: An empty file.
        source: The attribute.
    """

    def __init__(self, path: Path, source: str) -> None:
        self._path, self._names = path, list[str]()
        reserve(path, SPARE_BYTES)
        self._file = h5py.File(path, "w", libver="v110", locking=False)
        self._file.attrs["source"] = np.bytes_(source.encode())

    def append(
        self, name: str, edges_s: npt.NDArray[np.float64], vector: npt.NDArray[np.floating]
    ) -> None:
        """Add a recording: its name, where its vectors begin and end (T + 1,), and they (T, D).

        Raises:
            OSError: The disk is full.
        """
        columns: dict[str, npt.NDArray[Any]] = {
            "recording": np.full(len(vector), len(self._names), np.int32),
            "onset_s": edges_s[:-1],
            "offset_s": edges_s[1:],
            "vector": vector,
        }
        self._reserve(sum(values.nbytes for values in columns.values()))
        for column, values in columns.items():
            self._extend(column, values)
        self._names.append(name)

    def close(self) -> None:
        """Write the names, and close the file."""
        width = max((len(name.encode()) for name in self._names), default=0)
        self._reserve(width * len(self._names))
        write_strings(self._file, "name", self._names)
        self._file.close()
        # HDF5 cuts off what is left of the reserve.
        open_file(self._path, "r+", locking=False).close()

    def _reserve(self, n_bytes: int) -> None:
        # HDF5 crashes the process if the disk is full when it writes what it holds back.
        reserve(self._path, self._file.id.get_filesize() + n_bytes + SPARE_BYTES)

    def _extend(self, column: str, values: npt.NDArray[Any]) -> None:
        n_before = 0
        if column in self._file:
            n_before = len(self._file[column])
            self._file[column].resize(n_before + len(values), axis=0)
        else:
            row = values.shape[1:]
            n_rows = max(1, CHUNK_BYTES // max(values[:1].nbytes, 1))
            how: dict[str, Any] = {"chunks": (n_rows, *row), "fletcher32": True}
            shape = (len(values), *row)
            self._file.create_dataset(column, shape, values.dtype, maxshape=(None, *row), **how)
        self._file[column][n_before:] = values
