"""Writing a store: complete or absent, and resumable.

`StoreWriter` fills a hidden file in the same folder, one row per chunk, and renames it at the end.
All space is allocated when that file is created, so an interruption leaves a valid file; a second
hidden file counts the complete rows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

import h5py
import numpy as np
import numpy.typing as npt

import sedmtl
from sedmtl.runtime import disk_space
from sedmtl.runtime.errors import SedmtlError, pass_on_trouble
from sedmtl.runtime.origin import Origin
from sedmtl.runtime.progress import say
from sedmtl.runtime.regular import IrregularError, open_own, read_text, require_own
from sedmtl.store import hashes
from sedmtl.store.file import DAMAGE, open_file
from sedmtl.store.hashes import Attributes
from sedmtl.store.rows import RowArray, check_finite, lay_out, n_bytes_of
from sedmtl.store.tables import ClipTable, write_clips

SCHEMA = 3
"""Schema of the file; raise it when the same content would be stored as different bytes."""

TABLE_BYTES = 4_096
"""Upper bound of a row's size outside the large arrays: in the tables and in HDF5's chunk index."""

EMPTY_BYTES = 1 << 20
"""Upper bound of the size of a store without rows."""


def disk_bytes(arrays: Mapping[str, RowArray], n_rows: int) -> int:
    """Disk space of a store with `n_rows` rows of some arrays."""
    per_row = TABLE_BYTES + hashes.N_BYTES * len(arrays)
    return n_bytes_of(arrays, n_rows) + n_rows * per_row + EMPTY_BYTES


def origin_path(store: Path) -> Path:
    """The hidden file next to a store that records what it was made from."""
    return store.with_name(f".{store.name}.origin")


class StoreWriter:
    """Writes one store, resuming where an interrupted writer stopped.

    Use it as a context manager: write all rows in order, then `finish`. An unfinished store stays
    hidden; if the finished store exists, there is nothing to do.

    Args:
        path: The store.
        arrays: The large arrays by name.
        clips: The tables.
        attributes: Everything that determines the content besides the arrays and the tables.
        recorded: Notes for readers; changing them does not rebuild the store.
        stamp: Identifies the source files; kept outside the store, so that copies of the same files
            give the same bytes. It is not compared if it is empty or none was recorded.

    Raises:
        SedmtlError: On entering `with` or later: the file cannot be written, or another process is
            writing it.

    Attributes:
        is_there: Whether this store already exists and is current.
        n_done: Rows written; all of them if the store already existed.
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
        self.n_rows = clips.n_rows
        self._part = path.with_name(f".{path.name}.part")
        self._progress = path.with_name(f".{path.name}.progress")
        self._arrays, self._clips = arrays, clips
        shapes = {name: [*shape, str(np.dtype(dtype))] for name, (shape, dtype) in arrays.items()}
        deciding = {"schema": SCHEMA, **attributes}
        config_hash = hashes.header_hash(shapes, clips, deciding)
        version = {"sedmtl_version": sedmtl.__version__, "config_hash": config_hash}
        everything = {**deciding, **(recorded or {}), **version}
        checksum = hashes.header_hash(shapes, clips, everything)
        self._attributes = {**everything, "checksum": checksum}
        self._origin = Origin({"store": config_hash, "files": stamp}, recorded or {})
        self._file: h5py.File | None = None
        self._count: IO[bytes] | None = None
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

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        for file in (self._file, self._count):
            if file is not None:
                file.close()
        if isinstance(error, OSError):
            raise _unwritable(self.path, error) from error

    @property
    def replaces(self) -> bool:
        """Whether this store replaces an existing one."""
        return self.path.is_file() and not self.is_there

    @property
    def n_bytes(self) -> int:
        """Disk space still to be allocated; 0 for a finished or resumable store."""
        if self.is_there or self._n_resumable():
            return 0
        n_claimed = 512 * self._part.stat().st_blocks if self._part.is_file() else 0
        return max(0, disk_bytes(self._arrays, self.n_rows) - n_claimed)

    def write(self, first: int, **arrays: npt.NDArray[Any]) -> None:
        """Write rows of every array, starting at row `first`, without a gap.

        Raises:
            SedmtlError: A row holds NaN or infinity; the rows before it are kept.
        """
        n_new = len(next(iter(arrays.values())))
        if self._file is None or self._count is None or first + n_new <= self.n_done:
            return
        if first > self.n_done:
            raise ValueError(f"{self.path}: row {first} before row {self.n_done}")
        for name, rows in arrays.items():
            check_finite(rows, name, lambda row: self._clips.name_of(first + row))
            self._file[name][first : first + n_new] = rows
            # Hash the values as stored: the type may differ from that of the input.
            stored = rows.astype(self._file[name].dtype, copy=False)
            self._file[f"sha256/{name}"][first : first + n_new] = hashes.row_hashes(stored)
        self._file.flush()
        self.n_done = first + n_new
        # After the rows: the counter may lag behind the file but never run ahead of it. It is one
        # short write of fixed length, which a kill cannot split; replacing the file took 6 ms.
        self._count.seek(0)
        self._count.write(f"{self._origin.hash} {self.n_done:>12}".encode())

    def finish(self) -> None:
        """Rename the complete store to its final name."""
        if self.n_done != self.n_rows:
            raise ValueError(f"{self.path}: {self.n_done} of {self.n_rows} rows were written")
        if self._file is not None:
            self._file.close()
            self._file = None
            require_own(self.path, alone=False)
            self._part.replace(self.path)
            # After the store: an outdated record causes a rebuild, a premature one is believed.
            self._origin.write(origin_path(self.path))
            self._progress.unlink(missing_ok=True)

    def _open(self) -> None:
        """Open the hidden file; create it unless there is one to resume."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.n_done = self._n_resumable()
        if not self.n_done:
            self._create()
        self._file = open_file(self._part, "r+")
        open_own(self._progress, "ab").close()
        self._count = open_own(self._progress, "r+b", buffering=0)

    def _tidy_up(self) -> None:
        """Record what the store was made from; remove rows of another store."""
        if Origin.read(origin_path(self.path)) != self._origin:
            self._origin.write(origin_path(self.path))
        self._part.unlink(missing_ok=True)
        self._progress.unlink(missing_ok=True)

    def _is_current(self) -> bool:
        """Whether the existing store, whose config hash is right, was made from the same files."""
        just_renamed = not self._part.exists() and self._n_counted() == self.n_rows > 0
        if not self._origin.decides["files"] or just_renamed:
            return True
        known = Origin.read(origin_path(self.path))
        if known is not None:
            return known.is_current(self._origin)
        # Either the store was copied without its record, or a kill prevented the record, in which
        # case the counter still exists.
        return not self._progress.exists()

    def _n_resumable(self) -> int:
        """Complete rows of the hidden file; 0 if it belongs to another store or is damaged."""
        try:
            with open_file(self._part):
                return self._n_counted()
        except DAMAGE:
            return 0

    def _n_counted(self) -> int:
        """Value of the counter; 0 if it belongs to another store or is unreadable."""
        try:
            origin, n_done = read_text(self._progress).split()
            return int(n_done) if origin == self._origin.hash else 0
        except (OSError, ValueError):
            return 0

    def _create(self) -> None:
        require_own(self._part)
        self._progress.unlink(missing_ok=True)
        # HDF5 crashes the process if the disk is full when it closes a new file.
        disk_space.reserve(self._part, disk_bytes(self._arrays, self.n_rows))
        # This version of the format checksums all but the rows. So do later ones, but 1.10 refuses
        # a file that a kill has left open.
        with h5py.File(self._part, "w", libver=("v108", "v108")) as file:
            for name, (shape, dtype) in self._arrays.items():
                lay_out(file, name, (self.n_rows, *shape), dtype, chunk=(1, *shape))
                lay_out(file, f"sha256/{name}", (self.n_rows, hashes.N_BYTES), np.uint8)
            write_clips(file, self._clips)
            for key, value in self._attributes.items():
                file.attrs[key] = _fixed_width(value)
        disk_space.reserve(self._part, self._part.stat().st_size)


def announce(what: str, writers: Sequence[StoreWriter]) -> None:
    """Report which stores are rebuilt, and the disk space that the missing ones need.

    Raises:
        SedmtlError: Less space is free, or an existing file is not a store.
    """
    missing = [writer for writer in writers if not writer.is_there]
    for writer in writers:
        if writer.replaces:
            if _stored_config_hash(writer.path) is None:
                raise SedmtlError(
                    f"{writer.path} is damaged or was not written by sedmtl: move it away"
                )
            say(f"{writer.path} was made with other settings or audio: rebuilding it")
    if missing:
        n_bytes = sum(writer.n_bytes for writer in missing)
        disk_space.announce(what, n_bytes, missing[0].path.parent)


def _fixed_width(value: str | int | float | Sequence[str]) -> Any:
    """Encode strings with a fixed width: a flipped bit in HDF5's heap can make it hang."""
    if isinstance(value, int | float):
        return value
    return np.bytes_(value.encode()) if isinstance(value, str) else np.char.encode(value, "utf-8")


def _stored_config_hash(path: Path) -> str | None:
    try:
        with open_file(path) as file:
            return bytes(file.attrs["config_hash"]).decode()
    except DAMAGE as error:
        pass_on_trouble(error)
        return None


def _unwritable(path: Path, error: OSError) -> SedmtlError:
    # HDF5's text for a system error is long and contains a line break.
    reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
    if isinstance(error, IrregularError):
        reason = str(error.strerror)
    return SedmtlError(f"cannot write {path}: {reason}; finished rows are kept")
