"""HDF5 file of the recordings' embedding vectors, for other programs: `sedmtl embed`."""

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
"""Upper bound of HDF5's own overhead: partly filled last chunks, and the chunk index."""


class VectorFile:
    """Vectors over time, one recording after the other.

    Datasets: `vector` (N, D); `onset_s` and `offset_s` (N,), the time span of each; `recording`
    (N,), the index of its recording in `name`. The attribute `source` names what made the vectors,
    and its licence.

    Args:
        path: An empty file.
        source: Value of the attribute.
    """

    def __init__(self, path: Path, source: str) -> None:
        self._path, self._names = path, list[str]()
        reserve(path, SPARE_BYTES)
        self._file = h5py.File(path, "w", libver="v110", locking=False)
        self._file.attrs["source"] = np.bytes_(source.encode())

    def append(
        self, name: str, edges_s: npt.NDArray[np.float64], vector: npt.NDArray[np.floating]
    ) -> None:
        """Add a recording: its name, the edges of its vectors (T + 1,), and the vectors (T, D).

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
        # Reopening makes HDF5 truncate the unused part of the reserved space.
        open_file(self._path, "r+", locking=False).close()

    def _reserve(self, n_bytes: int) -> None:
        # HDF5 crashes the process if the disk is full when it flushes its cache.
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
