"""The large arrays of a store: one row per chunk, finite values only."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from sedmtl.runtime.errors import SedmtlError

Shape = tuple[int, ...]


class RowArray(NamedTuple):
    """Row shape and type of a large array of a store."""

    row_shape: Shape
    dtype: npt.DTypeLike


def n_bytes_of(arrays: Mapping[str, RowArray], n_rows: int) -> int:
    """Bytes that `n_rows` rows of some arrays take in a store or in memory."""
    sizes = (math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in arrays.values())
    return n_rows * sum(sizes)


def lay_out(
    file: h5py.File, name: str, shape: Shape, dtype: npt.DTypeLike, chunk: Shape = ()
) -> None:
    """Create an array in a new store, without values."""
    dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    if chunk:
        dcpl.set_chunk(chunk)
    # Allocated at once: later writes change no metadata, so a kill leaves a valid file, and the
    # bytes do not depend on the order of writing.
    dcpl.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    dcpl.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    file.create_dataset(name, shape=shape, dtype=dtype, dcpl=dcpl)


def first_not_finite(rows: npt.NDArray[Any]) -> int | None:
    """Index of the first of rows (n, …) that holds NaN or infinity; None if all are finite."""
    finite = np.isfinite(rows)
    return None if finite.all() else int(np.argmin(finite.reshape(len(rows), -1).all(axis=1)))


def check_finite(rows: npt.NDArray[Any], array: str, name_of: Callable[[int], str]) -> None:
    """Check new rows of an array; `name_of` gives the name of a row's clip.

    Raises:
        SedmtlError: A row is not finite. Later stages could not say which recording caused it.
    """
    bad = first_not_finite(rows)
    if bad is not None:
        raise SedmtlError(
            f"the {array} of {name_of(bad)} came out as NaN or infinity: its audio cannot be used; "
            "remove it"
        )
