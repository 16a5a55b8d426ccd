"""Reading a finished store."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from sedmtl.errors import SedmtlError
from sedmtl.stores.tables import read_clips
from sedmtl.stores.writer import SCHEMA


class Store:
    """A finished store, open for reading.

    Attributes:
        classes: Names of the classes, in the order of the target's columns.
        clips: What is known of the clips.
        attributes: Everything else the store says of itself.
    """

    def __init__(self, path: Path, array: str, made_by: str) -> None:
        """Open a store.

        Args:
            path: The file.
            array: The big array that it must hold: 'waveform' or 'logmel'.
            made_by: The command that makes such a store, for the error sentence.

        Raises:
            SedmtlError: The file is missing, is no store of this kind, or has another schema.
        """
        self.path = path
        if not path.is_file():
            raise SedmtlError(f"no store {path}: make it with '{made_by}'")
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise SedmtlError(
                f"{path} is no readable HDF5 store: make it with '{made_by}'"
            ) from error
        schema = self._file.attrs.get("schema")
        if schema != SCHEMA:
            self._file.close()
            raise SedmtlError(
                f"{path} has schema {schema}, this sedmtl reads schema {SCHEMA}: make it again "
                f"with '{made_by}'"
            )
        if array not in self._file:
            self._file.close()
            raise SedmtlError(f"{path} holds no '{array}': make such a store with '{made_by}'")
        self._rows = self._file[array]
        self._made_by = made_by
        self.attributes = {key: _plain(value) for key, value in self._file.attrs.items()}
        try:
            self.classes: tuple[str, ...] = tuple(self.attributes["classes"])
            self.clips = read_clips(self._file)
        except (KeyError, OSError) as error:
            self._file.close()
            raise self._damaged(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return int(self._rows.shape[0])

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row of the big array."""
        return tuple(self._rows.shape[1:])

    def read(self, rows: npt.NDArray[np.integer] | range) -> npt.NDArray[Any]:
        """Read rows of the big array, in the order asked for.

        Row by row: HDF5's own lists of indices took 13 to 48 times as long.

        Raises:
            SedmtlError: The file is damaged there.
        """
        block = np.empty((len(rows), *self.row_shape), self._rows.dtype)
        try:
            for i, row in enumerate(rows):
                self._rows.read_direct(block, np.s_[int(row)], np.s_[i])
        except OSError as error:
            raise self._damaged(error) from error
        return block

    def _damaged(self, error: Exception) -> SedmtlError:
        reason = " ".join(str(error.args[-1]).split())
        return SedmtlError(
            f"{self.path} is damaged ({reason}): delete it and make it again with '{self._made_by}'"
        )


def _plain(value: Any) -> Any:
    """An attribute as a plain Python value."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
