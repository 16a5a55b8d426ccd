"""Writing a store: complete or absent, and resumable.

`StoreWriter` fills a hidden file in the same folder, one row a chunk, and renames it at the end.
All space is laid out when that file is made, so what an interruption leaves is a valid file, and a
count beside it says how many rows are good.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Mapping, Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import h5py
import numpy as np
import numpy.typing as npt

import sedmtl
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.origin import Origin
from sedmtl.store import hashes
from sedmtl.store.hashes import Attributes
from sedmtl.store.tables import ClipTable, write_clips

SCHEMA = 3
"""Of the file: raise it when the same content would be stored in other bytes."""

TABLE_BYTES = 4_096
"""More than a row takes beside the big arrays: in the tables and in HDF5's index of chunks."""

EMPTY_BYTES = 1 << 20
"""More than a store without rows takes."""


class RowArray(NamedTuple):
    """Shape of one row and type of a big array of a store."""

    row_shape: tuple[int, ...]
    dtype: npt.DTypeLike

    @property
    def n_bytes(self) -> int:
        """Of one row."""
        return math.prod(self.row_shape) * np.dtype(self.dtype).itemsize

    @property
    def description(self) -> list[Any]:
        """Shape and type as plain values."""
        return [*self.row_shape, str(np.dtype(self.dtype))]


def origin_path(store: Path) -> Path:
    """The file beside a store that records what it is current under."""
    return store.with_name(f".{store.name}.origin")


class StoreWriter:
    """Writes one store, from where an interrupted one stopped.

    Use it as a context manager: write all rows in order, then `finish`. What is not finished
    stays hidden and is taken up by the next writer that is asked for the very same store; if
    that store is there already, there is nothing left to do.

    Args:
        path: Of the store.
        arrays: The big arrays.
        clips: The tables.
        attributes: What decides the content, beside the arrays and the tables.
        recorded: What is noted for readers and decides nothing: another version of sedmtl or
            another `data.yaml` that asks for the same content leaves the store as it is.
        stamp: By which files that it is made from are known; beside the store, not in it, so that
            copies of the same files give the same bytes. Without one, or where none is found
            beside a store, only the rest decides.

    Raises:
        SedmtlError: From `with` on: the file cannot be made, or another process writes it.

    Attributes:
        is_there: Whether this very store was finished before.
        n_done: Rows that are written; all of them if the store was there already.
    """

    def __init__(
        self,
        path: Path,
        arrays: Mapping[str, RowArray],
        clips: ClipTable,
        attributes: Attributes,
        recorded: Attributes | None = None,
        stamp: str = "",
    ) -> None:
        self.path = path
        self.n_rows = len(clips.name)
        self._part = path.with_name(f".{path.name}.part")
        self._progress = path.with_name(f".{path.name}.progress")
        self._arrays, self._clips = arrays, clips
        shapes = {name: array.description for name, array in arrays.items()}
        deciding = {"schema": SCHEMA, **attributes}
        config_hash = hashes.header_hash(shapes, clips, deciding)
        everything = {
            **deciding,
            **(recorded or {}),
            "sedmtl_version": sedmtl.__version__,
            "config_hash": config_hash,
        }
        checksum = hashes.header_hash(shapes, clips, everything)
        self._attributes = {**everything, "checksum": checksum}
        self._origin = Origin({"store": config_hash, "files": stamp}, recorded or {})
        self._file: h5py.File | None = None
        self._count: FileIO | None = None
        self.is_there = _stored_config_hash(path) == config_hash and self._is_current()
        self.n_done = self.n_rows if self.is_there else 0

    def __enter__(self) -> Self:
        try:
            if self.is_there:
                self._tidy_up()
            else:
                self._open()
        except OSError as error:
            raise _unwritable(self.path, error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in (self._file, self._count):
            if file is not None:
                file.close()
        if isinstance(error, OSError):
            raise _unwritable(self.path, error) from error

    @property
    def replaces(self) -> bool:
        """Whether another store is there, which this one takes the place of."""
        return self.path.is_file() and not self.is_there

    @property
    def n_bytes(self) -> int:
        """Still to be claimed on the disk: nothing for a store that is there, or was begun."""
        if self.is_there or self._n_resumable():
            return 0
        n_claimed = 512 * self._part.stat().st_blocks if self._part.is_file() else 0
        return max(0, self._n_bytes_in_all - n_claimed)

    @property
    def _n_bytes_in_all(self) -> int:
        row = sum(array.n_bytes + hashes.N_BYTES for array in self._arrays.values())
        return self.n_rows * (row + TABLE_BYTES) + EMPTY_BYTES

    def write(self, first: int, **arrays: npt.NDArray[Any]) -> None:
        """Write rows of every array from row `first` on, which must leave no gap."""
        n_new = len(next(iter(arrays.values())))
        if self._file is None or self._count is None or first + n_new <= self.n_done:
            return
        if first > self.n_done:
            raise ValueError(f"{self.path}: row {first} before row {self.n_done}")
        for name, rows in arrays.items():
            self._file[name][first : first + n_new] = rows
            # As it is stored, which need not be the type that it came in.
            stored = rows.astype(self._file[name].dtype, copy=False)
            self._file[f"sha256/{name}"][first : first + n_new] = hashes.row_hashes(stored)
        self._file.flush()
        self.n_done = first + n_new
        # After the rows: the count may lag behind the file, never run ahead of it. One short write
        # of the same length each time, which no kill divides; replacing the file took 6 ms.
        self._count.seek(0)
        self._count.write(f"{self._origin.hash} {self.n_done:>12}".encode())

    def finish(self) -> None:
        """Give the complete store its name."""
        if self.n_done != self.n_rows:
            raise ValueError(f"{self.path}: {self.n_done} of {self.n_rows} rows were written")
        if self._file is not None:
            self._file.close()
            self._file = None
            self._part.replace(self.path)
            # After the store: an older record has it made again, a newer one would be believed.
            self._origin.write(origin_path(self.path))
            self._progress.unlink(missing_ok=True)

    def _open(self) -> None:
        """Open the hidden file; make it, unless there is one to go on with."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.n_done = self._n_resumable()
        if not self.n_done:
            self._create()
        self._file = h5py.File(self._part, "r+")
        self._progress.touch()
        self._count = self._progress.open("r+b", buffering=0)

    def _tidy_up(self) -> None:
        """Record what it is current under; drop the rows of another store."""
        if Origin.read(origin_path(self.path)) != self._origin:
            self._origin.write(origin_path(self.path))
        self._part.unlink(missing_ok=True)
        self._progress.unlink(missing_ok=True)

    def _has_just_been_named(self) -> bool:
        """Whether all rows were written, and the hidden file is the store by now."""
        return not self._part.exists() and self._n_counted() == self.n_rows > 0

    def _is_current(self) -> bool:
        """Whether the store there, whose config hash is right, was made from the same files."""
        if not self._origin.decides["files"] or self._has_just_been_named():
            return True
        known = Origin.read(origin_path(self.path))
        if known is not None:
            return known.is_current(self._origin)
        # It came without its record; or a kill came before that, and then the count is there.
        return not self._progress.exists()

    def _n_resumable(self) -> int:
        """The good rows of the hidden file: none if it is of another store, or damaged."""
        try:
            with h5py.File(self._part, "r"):
                return self._n_counted()
        except BlockingIOError:
            raise
        except OSError:
            return 0

    def _n_counted(self) -> int:
        """What the count says: nothing if it is of another store, or no count."""
        try:
            origin, n_done = self._progress.read_text().split()
            return int(n_done) if origin == self._origin.hash else 0
        except (OSError, ValueError):
            return 0

    def _create(self) -> None:
        self._progress.unlink(missing_ok=True)
        # HDF5 takes the process with it if the disk is full when it closes a new file.
        _reserve(self._part, self._n_bytes_in_all)
        # With checksums over all that is not a row, which later versions have, too; but those of
        # 1.10 refuse a file that a kill has left open.
        with h5py.File(self._part, "w", libver=("v108", "v108")) as file:
            for name, array in self._arrays.items():
                file.create_dataset(
                    name,
                    shape=(self.n_rows, *array.row_shape),
                    dtype=array.dtype,
                    dcpl=_laid_out_at_once((1, *array.row_shape)),
                )
                file.create_dataset(
                    f"sha256/{name}",
                    shape=(self.n_rows, hashes.N_BYTES),
                    dtype=np.uint8,
                    dcpl=_laid_out_at_once(),
                )
            write_clips(file, self._clips)
            for key, value in self._attributes.items():
                file.attrs[key] = _of_one_width(value)
        _reserve(self._part, self._part.stat().st_size)


def _of_one_width(value: str | int | float | Sequence[str]) -> Any:
    """Strings beside their number, not in HDF5's heap, where a flipped bit can hang it."""
    if isinstance(value, int | float):
        return value
    return np.bytes_(value.encode()) if isinstance(value, str) else np.char.encode(value, "utf-8")


def _laid_out_at_once(chunk: tuple[int, ...] | None = None) -> h5py.h5p.PropDCID:
    dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    if chunk:
        dcpl.set_chunk(chunk)
    # Laid out at once: later writes change no metadata, so a kill leaves a valid file, and the
    # bytes do not depend on the order of writing.
    dcpl.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    dcpl.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    return dcpl


def _reserve(path: Path, n_bytes: int) -> None:
    """Claim the space of a file with holes, so that a full disk shows before hours of work."""
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    try:
        with path.open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes)
    except OSError as error:
        # Some file systems cannot reserve; there the disk may still fill up on the way.
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            path.unlink()
            raise


def _stored_config_hash(path: Path) -> str | None:
    try:
        with h5py.File(path, "r") as file:
            return bytes(file.attrs["config_hash"]).decode()
    except (OSError, LookupError, TypeError, ValueError, RuntimeError):
        return None


def _unwritable(path: Path, error: OSError) -> SedmtlError:
    # HDF5's own text for an error of the system is long, and has a line break in it.
    reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
    if isinstance(error, BlockingIOError):
        reason = "another process is writing it"
    return SedmtlError(f"cannot write {path}: {reason}; what was finished is kept")
