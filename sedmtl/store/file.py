"""Opening of HDF5 files, which are checked before any array is read.

HDF5 itself would follow links into other files, and return arrays that a file only claims to have.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Literal

import h5py
from h5py import h5d, h5t, h5z

from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.regular import require_own, require_readable

MAX_OBJECTS = 64
"""Most groups and arrays in a file; ours have up to twenty."""

MAX_RATIO, FREE_BYTES = 400, 256 << 20
"""Arrays may unpack to this multiple of the file's size, or to this many bytes if that is more.
Deflate packs equal scores about 300 to one."""

DAMAGE = (OSError, LookupError, RuntimeError, TypeError, ValueError, AttributeError)
"""Errors that reading a corrupt file can raise."""

TYPES = {h5t.INTEGER, h5t.FLOAT, h5t.STRING}
FILTERS = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}


def open_file(
    path: Path, mode: Literal["r", "r+"] = "r", *, locking: bool | None = None
) -> h5py.File:
    """Open a self-contained file that holds what it claims to hold.

    HDF5 locks it, unless this process has locked it already (`locking` False).

    Raises:
        SedmtlError: Another process has locked it.
        OSError: It cannot be read, or is not HDF5.
        ValueError, or another of `DAMAGE`: An array or attribute is stored elsewhere (a link,
            external or virtual storage), is larger than its part of the file, or has a type that
            we do not write.
    """
    require_own(path) if mode == "r+" else require_readable(path)
    try:
        file = h5py.File(path, mode, locking=locking)
    except BlockingIOError as error:
        raise SedmtlError(f"{path} is in use: another process is writing it") from error
    try:
        _check(file)
    except BaseException:
        file.close()
        raise
    return file


def _check(file: h5py.File) -> None:
    n_stored = n_unpacked = 0
    for n_before, (name, item) in enumerate(_objects(file, "")):
        if n_before == MAX_OBJECTS:
            raise ValueError(f"it has more than {MAX_OBJECTS} arrays")
        if isinstance(item, h5py.Dataset):
            stored, unpacked = _sizes(name, item.id)
            n_stored, n_unpacked = n_stored + stored, n_unpacked + unpacked
        n_stored += _size_of_attributes(name, item)
    n_stored += _size_of_attributes("", file)
    n_bytes = file.id.get_filesize()
    if n_stored > n_bytes or n_unpacked > max(FREE_BYTES, MAX_RATIO * n_bytes):
        raise ValueError(f"its arrays claim {n_unpacked:,} bytes of a file of {n_bytes:,}")


def _objects(group: h5py.Group, place: str) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """All groups and arrays below a group, with their paths."""
    for key in group:
        name = f"{place}{key}"
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise ValueError(f"its '{name}' is a link to somewhere else")
        item = group[key]
        yield name, item
        if isinstance(item, h5py.Group):
            yield from _objects(item, f"{name}/")


def _sizes(name: str, array: h5d.DatasetID) -> tuple[int, int]:
    """Bytes of an array in the file and in memory."""
    how = array.get_create_plist()
    if how.get_layout() == h5d.VIRTUAL or how.get_external_count():
        raise ValueError(f"its '{name}' is in another file")
    filters = {how.get_filter(i)[0] for i in range(how.get_nfilters())}
    if not filters <= FILTERS:
        raise ValueError(f"its '{name}' is packed in an unknown way")
    shape = array.shape
    if how.get_layout() == h5d.CHUNKED:  # whole chunks are read
        shape = [
            -(-n // of_chunk) * of_chunk for n, of_chunk in zip(shape, how.get_chunk(), strict=True)
        ]
    stored = array.get_storage_size()
    unpacked = prod(shape) * _size_of_type(name, array.get_type())
    if unpacked > stored and h5z.FILTER_DEFLATE not in filters:
        raise ValueError(f"its '{name}' claims {unpacked:,} bytes and has {stored:,}")
    return stored, unpacked


def _size_of_attributes(place: str, item: h5py.Group | h5py.Dataset) -> int:
    n_bytes = 0
    for key in item.attrs:
        attribute = item.attrs.get_id(key)
        _size_of_type(f"{place}@{key}", attribute.get_type())
        n_bytes += attribute.get_storage_size()
    return n_bytes


def _size_of_type(name: str, kind: h5t.TypeID) -> int:
    # Variable-width values are stored elsewhere in the file, and many may share the same bytes.
    if kind.get_class() not in TYPES or (kind.get_class() == h5t.STRING and kind.is_variable_str()):
        raise ValueError(f"its '{name}' holds neither numbers nor strings of a fixed width")
    return int(kind.get_size())
