"""Reading a finished store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sedmtl.runtime.documents import parse_yaml
from sedmtl.runtime.errors import SedmtlError, pass_on_trouble
from sedmtl.runtime.origin import Origin, check_settings
from sedmtl.store import hashes
from sedmtl.store.encoder_card import EncoderCard
from sedmtl.store.file import DAMAGE, open_file
from sedmtl.store.rows import RowArray, first_not_finite
from sedmtl.store.tables import plain, read_array, read_clips
from sedmtl.store.writer import SCHEMA, origin_path

MADE_BY = {
    "waveform": "sedmtl mix",
    "stems": "sedmtl mix --stems",
    "event_stems": "sedmtl mix --stems",
    "logmel": "sedmtl features",
    "frames": "sedmtl features",
    "clean_logmel": "sedmtl mix --stems' and 'sedmtl features",
    "class_mels": "sedmtl mix --stems' and 'sedmtl features",
}
"""The command that makes a store with each array."""

NEEDS = {"frames": ", once data.yaml names a features.encoder"}
"""Further condition for making an array."""

FULL_SCALE = 32_767
"""The int16 value of amplitude 1."""

CLIP_FACTS = ("snr_db", "onsets", "event_corpus", "scene_corpus")
"""Attributes that describe the clips of a mixture store; stores of own clips have none of them."""

Rows = npt.NDArray[np.int64]
"""Row indices."""


def batches(rows: Rows, batch_size: int) -> Iterator[Rows]:
    """Yield the rows in order, `batch_size` at a time; the last batch may be smaller."""
    for first in range(0, len(rows), batch_size):
        yield rows[first : first + batch_size]


class Store:
    """A finished store, open for reading.

    Attributes:
        classes: Names of the classes, in the order of the target's columns.
        clips: The tables of the clips.
        attributes: All other metadata of the store.
    """

    def __init__(self, path: Path, *arrays: str) -> None:
        """Open a store that must hold the given arrays, each one of `MADE_BY`.

        The first one is the default of all methods.

        Raises:
            SedmtlError: The file is missing or damaged, lacks one of them, or has another schema.
        """
        self.path, self._names = path, arrays
        self._made_by = MADE_BY[arrays[0]]
        if not path.is_file():
            raise SedmtlError(f"no store {path}: make it with '{self._made_by}'")
        try:
            self._file = open_file(path)
        except OSError as error:
            pass_on_trouble(error)
            raise SedmtlError(
                f"{path} is not a readable HDF5 store: make it with '{self._made_by}'"
            ) from error
        except DAMAGE as error:
            raise self._damaged(error) from error
        try:
            self._open()
        except BaseException as error:
            self._file.close()
            if isinstance(error, DAMAGE):
                raise self._damaged(error) from error
            raise

    def _open(self) -> None:
        schema = self._file.attrs.get("schema")
        if not np.array_equal(schema, SCHEMA):
            raise SedmtlError(
                f"{self.path} has schema {schema}, but this sedmtl reads schema {SCHEMA}: rebuild "
                f"it with '{self._made_by}'"
            )
        for array in self._names:
            if array not in self._file:
                raise SedmtlError(
                    f"{self.path} has no '{array}': make one that has it with '{MADE_BY[array]}'"
                    f"{NEEDS.get(array, '')}"
                )
        # A copy: iterating over h5py's own items holds its lock, and an error in the loop would
        # keep the lock as long as the traceback lives.
        self.attributes = {key: plain(value) for key, value in dict(self._file.attrs).items()}
        self.classes: tuple[str, ...] = tuple(self.attributes["classes"])
        self.clips = read_clips(self._file)
        self.clips.events.check(len(self), len(self.classes))
        if self.clips.windows is not None:
            self.clips.windows.check(len(self))
        stored_hashes = self._file["sha256"]
        self._hashes = {name: read_array(stored_hashes, name) for name in stored_hashes}
        self._check_header()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        """Number of clips; the number of rows is `clips.n_rows`."""
        return len(self.clips.name)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row of the first array."""
        return self.shape_of(self._names[0])

    def shape_of(self, array: str) -> tuple[int, ...]:
        """Shape of one row of an array in the file."""
        return tuple(self._file[array].shape[1:])

    @property
    def encoder(self) -> EncoderCard | None:
        """Encoder of the array 'frames' (n, T', D), float16 by default; None without frames."""
        if "frames" not in self.arrays:
            return None
        try:
            return EncoderCard.of(self.attributes["encoder"], self._recorded("encoder_file"))
        except (LookupError, TypeError, ValueError) as error:
            raise self._damaged(error) from error

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of all arrays in the file."""
        return tuple(self._hashes)

    @property
    def row_arrays(self) -> dict[str, RowArray]:
        """Row shape and type of all arrays in the file."""
        return {name: RowArray(self.shape_of(name), self._file[name].dtype) for name in self.arrays}

    @property
    def clip_facts(self) -> dict[str, Any]:
        """The attributes of `CLIP_FACTS` in this store; a store made from this one copies them."""
        return {key: self.attributes[key] for key in CLIP_FACTS if key in self.attributes}

    @property
    def data_yaml(self) -> str:
        """Text of the data.yaml that last requested this store; empty if none is recorded."""
        return self._recorded("config")

    def _recorded(self, key: str) -> str:
        """A value recorded by the last request for this store."""
        known = Origin.read(origin_path(self.path))
        ours = known is not None and known.decides.get("store") == self.attributes["config_hash"]
        recorded = known.recorded if known is not None and ours else self.attributes
        return str(recorded.get(key, ""))

    def data_hash(self, *arrays: str) -> str:
        """SHA-256 of the tables and the named arrays; by default of all arrays."""
        names = arrays or self.arrays
        return hashes.data_hash(self.clips, {name: self._hashes[name] for name in names})

    def read(
        self, rows: npt.NDArray[np.integer] | range, array: str | None = None
    ) -> npt.NDArray[Any]:
        """Read rows of one of the arrays given to `Store`, in the order of `rows`.

        Rows are read one by one: HDF5's index lists took 13 to 48 times as long.

        Raises:
            SedmtlError: The file is damaged.
        """
        name = array or self._names[0]
        stored = self._file[name]
        block = np.empty((len(rows), *stored.shape[1:]), stored.dtype)
        try:
            for i, row in enumerate(rows):
                stored.read_direct(block, np.s_[int(row)], np.s_[i])
        except OSError as error:
            raise self._damaged(error) from error
        changed = hashes.row_hashes(block) != self._hashes[name][np.asarray(rows, int)]
        if changed.any():
            row = int(rows[int(changed.any(axis=1).argmax())])
            name = self.clips.name_of(row)
            raise self._damaged(ValueError(f"row {row}, {name}, has changed since it was written"))
        bad = first_not_finite(block)
        if bad is not None:
            row = int(rows[bad])
            name = self.clips.name_of(row)
            raise self._damaged(ValueError(f"row {row}, {name}, holds NaN or infinity"))
        return block

    def read_audio(
        self, rows: npt.NDArray[np.integer] | range, array: str | None = None
    ) -> npt.NDArray[np.float32]:
        """Rows of audio as float32 amplitudes from -1 to 1; otherwise as `read`."""
        return self.read(rows, array).astype(np.float32) / np.float32(FULL_SCALE)

    def _check_header(self) -> None:
        """Raise a `ValueError` if tables or attributes have changed."""
        shapes = {
            name: [*self._file[name].shape[1:], str(self._file[name].dtype)]
            for name in self._hashes
        }
        others = {key: value for key, value in self.attributes.items() if key != "checksum"}
        if self.attributes["checksum"] != hashes.header_hash(shapes, self.clips, others):
            raise ValueError("its tables have changed since they were written")
        for name, of_rows in self._hashes.items():
            if not len(of_rows) == len(self._file[name]) == self.clips.n_rows:
                raise ValueError(f"its tables and '{name}' differ in their number of rows")

    def _damaged(self, error: Exception) -> SedmtlError:
        pass_on_trouble(error)
        reason = " ".join(str(error.args[-1] if error.args else error).split())
        return SedmtlError(
            f"{self.path} is damaged ({reason}): delete it and rebuild it with '{self._made_by}'"
        )


def check_encoder(store: Store, encoder: EncoderCard | None) -> None:
    """Refuse a store whose frames come from another encoder than a run's; None if it needs none.

    Raises:
        SedmtlError: The encoders differ, or the store has no frames.
    """
    found = store.encoder
    if encoder is not None and (found is None or not found.is_same(encoder)):
        of_store = "no frames" if found is None else f"frames of {found.name} {found.sha256[:12]}…"
        raise SedmtlError(
            f"{store.path} should hold frames of the encoder {encoder.name} with SHA-256 "
            f"{encoder.sha256[:12]}… and its settings, found {of_store}: name it in data.yaml and "
            "run 'sedmtl features' again"
        )


def check_mixing(store: Store, mixing: Mapping[str, Any], remake: str) -> None:
    """Refuse a store whose clips were mixed with settings other than those of `data.yaml`.

    Raises:
        SedmtlError: They differ; the message names the first key, and the command to `remake` it.
    """
    # The list of SNRs does not affect a single store.
    wanted = {key: value for key, value in mixing.items() if key != "snrs_db"}
    made_with = (parse_yaml(store.data_yaml) or {}).get("mixing", {})
    check_settings(store.path, made_with, wanted, remake)
