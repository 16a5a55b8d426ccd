"""Reading a finished store."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import digests
from sedmtl.store.tables import read_array, read_clips
from sedmtl.store.writer import SCHEMA

DAMAGE = (OSError, LookupError, RuntimeError, TypeError, ValueError, AttributeError)
"""What reading a file that nobody wrote can end in."""


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
            SedmtlError: The file is missing, is no store of this kind, has another schema, or its
                tables have changed since they were written.
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
        self._array = array
        self._made_by = made_by
        try:
            self._open(array)
        except SedmtlError:
            self._file.close()
            raise
        except DAMAGE as error:
            self._file.close()
            raise self._damaged(str(error.args[-1] if error.args else error)) from error

    def _open(self, array: str) -> None:
        schema = self._file.attrs.get("schema")
        if not np.array_equal(schema, SCHEMA):
            raise SedmtlError(
                f"{self.path} has schema {schema}, this sedmtl reads schema {SCHEMA}: make it "
                f"again with '{self._made_by}'"
            )
        if array not in self._file:
            raise SedmtlError(
                f"{self.path} holds no '{array}': make such a store with '{self._made_by}'"
            )
        self._rows = self._file[array]
        self.attributes = {key: _plain(value) for key, value in self._file.attrs.items()}
        self.classes: tuple[str, ...] = tuple(self.attributes["classes"])
        self.clips = read_clips(self._file)
        self._digests = {name: read_array(self._file["sha256"], name) for name in
                         self._file["sha256"]}  # fmt: skip
        self._check_identity()

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

    @cached_property
    def content(self) -> str:
        """SHA-256 of what the store holds: tables and big arrays."""
        return digests.content(self.clips, self._digests)

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of its big arrays."""
        return tuple(self._digests)

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
            raise self._damaged(str(error.args[-1])) from error
        changed = digests.of_rows(block) != self._digests[self._array][np.asarray(rows, int)]
        if changed.any():
            row = int(rows[int(changed.any(axis=1).argmax())])
            raise self._damaged(f"row {row}, {self.clips.name[row]}, is not what was written")
        return block

    def _check_identity(self) -> None:
        """Whether the tables and attributes are those that were written.

        Raises:
            ValueError: They are not.
        """
        shapes = {
            name: [*self._file[name].shape[1:], str(self._file[name].dtype)]
            for name in self._digests
        }
        said = {key: value for key, value in self.attributes.items() if key != "digest"}
        if self.attributes["digest"] != digests.identity(shapes, self.clips, said):
            raise ValueError("its tables are not what was written")
        for name, of_rows in self._digests.items():
            if not len(of_rows) == len(self._file[name]) == len(self.clips.name):
                raise ValueError(f"its tables and '{name}' have another number of rows")

    def _damaged(self, reason: str) -> SedmtlError:
        return SedmtlError(
            f"{self.path} is damaged ({' '.join(reason.split())}): delete it and make it again "
            f"with '{self._made_by}'"
        )


def _plain(value: Any) -> Any:
    """An attribute as a plain Python value."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value
