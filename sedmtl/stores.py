"""The HDF5 stores that stages hand on; the only module that knows HDF5.

A store is complete or absent: `StoreWriter` fills a hidden file in the same folder, one row a
chunk, and renames it at the end. All space is laid out when that file is made, so what an
interruption leaves is a valid file, and a count beside it says how many rows are good.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import h5py
import numpy as np
import numpy.typing as npt

import sedmtl
from sedmtl.errors import SedmtlError, suggest

SCHEMA = 1

Attributes = Mapping[str, str | int | float | Sequence[str]]


@dataclass(frozen=True)
class EventTable:
    """The true events of all clips of a store, one row an event, in order of clips.

    Attributes:
        mixture: (n,) int32, the row of the clip.
        label: (n,) int16, index into the classes.
        onset_s: (n,) float32.
        offset_s: (n,) float32.
        snr_db: (n,) float32, the realised SNR.
        source: Names of the event clips.
    """

    mixture: npt.NDArray[np.int32]
    label: npt.NDArray[np.int16]
    onset_s: npt.NDArray[np.float32]
    offset_s: npt.NDArray[np.float32]
    snr_db: npt.NDArray[np.float32]
    source: Sequence[str]

    @classmethod
    def empty(cls) -> Self:
        """No event is known: weakly labelled clips."""
        none = np.empty(0, np.float32)
        return cls(np.empty(0, np.int32), np.empty(0, np.int16), none, none, none, ())


@dataclass(frozen=True)
class ClipTable:
    """What a store says of its clips, beside the audio or the features.

    Attributes:
        name: (n,) file names.
        target: (n, n_classes) uint8, the weak labels.
        fold: (n,) uint8 from 1.
        scene: (n,) names of the scenes; empty strings where there is none.
        events: The strong labels, as far as they are known.
    """

    name: Sequence[str]
    target: npt.NDArray[np.uint8]
    fold: npt.NDArray[np.uint8]
    scene: Sequence[str]
    events: EventTable


class RowArray(NamedTuple):
    """Shape of one row and type of a big array of a store."""

    row_shape: tuple[int, ...]
    dtype: npt.DTypeLike


class StoreWriter:
    """Writes one store, from where an interrupted one stopped.

    Use it as a context manager: write all rows in order, then `finish`. What is not finished
    stays hidden and is taken up by the next writer that is asked for the very same store; if
    that store is there already, there is nothing left to do.

    Attributes:
        n_done: Rows that are written; all of them if the store was there already.
    """

    def __init__(
        self,
        path: Path,
        arrays: Mapping[str, RowArray],
        clips: ClipTable,
        attributes: Attributes,
    ) -> None:
        self.path = path
        self.n_rows = len(clips.name)
        self._part = path.with_name(f".{path.name}.part")
        self._progress = path.with_name(f".{path.name}.progress")
        digest = _digest(arrays, clips, attributes)
        self._digest = digest
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: h5py.File | None = None
        self.n_done = self.n_rows if _stored_digest(path) == digest else self._n_resumable()
        if self.n_done == self.n_rows and path.is_file():
            return
        try:
            if not self.n_done:
                self._create(arrays, clips, {**attributes, "digest": digest})
            self._file = h5py.File(self._part, "r+")
        except OSError as error:
            raise _unwritable(path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
        if isinstance(error, OSError):
            raise _unwritable(self.path, error) from error

    def write(self, first: int, **arrays: npt.NDArray[Any]) -> None:
        """Write rows of every array from row `first` on, which must leave no gap."""
        n_new = len(next(iter(arrays.values())))
        if self._file is None or first + n_new <= self.n_done:
            return
        if first > self.n_done:
            raise ValueError(f"{self.path}: row {first} before row {self.n_done}")
        for name, rows in arrays.items():
            self._file[name][first : first + n_new] = rows
        self._file.flush()
        self.n_done = first + n_new
        # Written after the rows: the count may lag behind the file, never run ahead of it.
        self._progress.write_text(f"{self._digest} {self.n_done}")

    def finish(self) -> None:
        """Give the complete store its name."""
        if self.n_done != self.n_rows:
            raise ValueError(f"{self.path}: {self.n_done} of {self.n_rows} rows were written")
        if self._file is not None:
            self._file.close()
            self._file = None
            self._part.replace(self.path)
            self._progress.unlink(missing_ok=True)

    def _n_resumable(self) -> int:
        try:
            digest, n_done = self._progress.read_text().split()
        except (FileNotFoundError, ValueError):
            return 0
        return int(n_done) if digest == self._digest and self._part.is_file() else 0

    def _create(
        self, arrays: Mapping[str, RowArray], clips: ClipTable, attributes: Attributes
    ) -> None:
        self._progress.unlink(missing_ok=True)
        with h5py.File(self._part, "w") as file:
            for name, array in arrays.items():
                file.create_dataset(
                    name,
                    shape=(self.n_rows, *array.row_shape),
                    dtype=array.dtype,
                    dcpl=_one_row_a_chunk(array),
                )
            file["target"], file["fold"] = clips.target, clips.fold
            _write_strings(file, "name", clips.name)
            _write_strings(file, "scene", clips.scene)
            group = file.create_group("events")
            for column in ("mixture", "label", "onset_s", "offset_s", "snr_db"):
                group[column] = getattr(clips.events, column)
            _write_strings(group, "source", clips.events.source)
            for key, value in _identity(attributes).items():
                file.attrs[key] = value if isinstance(value, str | int | float) else list(value)


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
        self.attributes = {key: _plain(value) for key, value in self._file.attrs.items()}
        self.classes: tuple[str, ...] = tuple(self.attributes["classes"])
        self.clips = _read_clips(self._file)

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
        """
        block = np.empty((len(rows), *self.row_shape), self._rows.dtype)
        for i, row in enumerate(rows):
            self._rows.read_direct(block, np.s_[int(row)], np.s_[i])
        return block


@dataclass(frozen=True)
class HeldOutScores:
    """What a run says about its held-out fold: the content of `scores.h5`.

    Attributes:
        name: (n,) of the clips.
        target: (n, C) uint8.
        prior: (C,) share of the training clips that have each class: the score to beat.
        score: (n, C) float32 under each selection.
        epoch: That each selection chose.
    """

    classes: Sequence[str]
    name: Sequence[str]
    target: npt.NDArray[np.uint8]
    prior: npt.NDArray[np.float32]
    score: Mapping[str, npt.NDArray[np.float32]]
    epoch: Mapping[str, int]


def write_scores(path: Path, scores: HeldOutScores) -> None:
    """Write a `scores.h5`, whole or not at all."""
    partial = path.with_name(f".{path.name}.part")
    with h5py.File(partial, "w") as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["classes"] = list(scores.classes)
        _write_strings(file, "name", scores.name)
        file["target"], file["prior"] = scores.target, scores.prior
        for selection, score in scores.score.items():
            file[f"score/{selection}"] = score
            file[f"score/{selection}"].attrs["epoch"] = scores.epoch[selection]
    partial.replace(path)


def read_scores(path: Path) -> HeldOutScores:
    """Read a `scores.h5`.

    Raises:
        SedmtlError: It is missing, damaged, or of another schema.
    """
    try:
        with h5py.File(path, "r") as file:
            if file.attrs["schema"] != SCHEMA:
                raise SedmtlError(f"{path} has another schema than {SCHEMA}: train the run again")
            return HeldOutScores(
                classes=list(file.attrs["classes"]),
                name=list(file["name"].asstr()[:]),
                target=file["target"][:],
                prior=file["prior"][:],
                score={selection: score[:] for selection, score in file["score"].items()},
                epoch={name: int(score.attrs["epoch"]) for name, score in file["score"].items()},
            )
    except (OSError, KeyError) as error:
        raise SedmtlError(f"cannot read {path}: train the run again with --force") from error


def mixture_path(work_dir: Path, snr_db: float) -> Path:
    """Where the mixtures of an SNR are."""
    return work_dir / "mixtures" / f"{data_name(snr_db)}.h5"


def data_name(snr_db: float) -> str:
    """What the data of an SNR are called: `snr_10`."""
    return f"snr_{snr_db:g}"


def stores_in(folder: Path) -> dict[str, Path]:
    """The finished stores of a folder by name; those of SNRs in order of SNR."""

    def order(path: Path) -> tuple[float, str]:
        try:
            return float(path.stem.removeprefix("snr_")), path.stem
        except ValueError:
            return np.inf, path.stem

    found = [path for path in folder.glob("*.h5") if not path.name.startswith(".")]
    return {path.stem: path for path in sorted(found, key=order)}


def choose_store(folder: Path, name: str | None, made_by: str) -> Path:
    """The store of that name, or the only one there is.

    Raises:
        SedmtlError: It does not exist, or there are several and none was named.
    """
    stores = stores_in(folder)
    if not stores:
        raise SedmtlError(f"no store in {folder}: make one with '{made_by}'")
    if name is None and len(stores) > 1:
        options = [
            f"--snr {known.removeprefix('snr_')}" if known.startswith("snr_") else f"--data {known}"
            for known in stores
        ]
        raise SedmtlError(f"several stores in {folder}: choose one with {' or '.join(options)}")
    if name is None:
        return next(iter(stores.values()))
    if name not in stores:
        raise SedmtlError(f"no store '{name}' in {folder}: {suggest(name, stores)}")
    return stores[name]


def _one_row_a_chunk(array: RowArray) -> h5py.h5p.PropDCID:
    dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    dcpl.set_chunk((1, *array.row_shape))
    # Laid out at once: later writes change no metadata, so a kill leaves a valid file, and the
    # bytes do not depend on the order of writing.
    dcpl.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    dcpl.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    return dcpl


def _write_strings(group: h5py.Group, name: str, values: Sequence[str]) -> None:
    width = max((len(value.encode()) for value in values), default=0)
    group.create_dataset(
        name,
        shape=(len(values),),
        data=[value.encode() for value in values] or None,
        dtype=h5py.string_dtype("utf-8", max(width, 1)),
    )


def _read_clips(file: h5py.File) -> ClipTable:
    group = file["events"]
    columns = {key: group[key][:] for key in ("mixture", "label", "onset_s", "offset_s", "snr_db")}
    events = EventTable(**columns, source=list(group["source"].asstr()[:]))
    return ClipTable(
        name=list(file["name"].asstr()[:]),
        target=file["target"][:],
        fold=file["fold"][:],
        scene=list(file["scene"].asstr()[:]),
        events=events,
    )


def _plain(value: Any) -> Any:
    """An attribute as a plain Python value."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _identity(attributes: Attributes) -> Attributes:
    return {"schema": SCHEMA, "sedmtl_version": sedmtl.__version__, **attributes}


def _stored_digest(path: Path) -> str | None:
    try:
        with h5py.File(path, "r") as file:
            return str(file.attrs.get("digest"))
    except OSError:
        return None


def _digest(arrays: Mapping[str, RowArray], clips: ClipTable, attributes: Attributes) -> str:
    """Names everything that decides the store but the big arrays themselves."""
    digest = hashlib.sha256()
    attributes = _identity(attributes)
    shapes = {
        name: [*array.row_shape, str(np.dtype(array.dtype))] for name, array in arrays.items()
    }
    texts = [shapes, {key: attributes[key] for key in sorted(attributes)}, list(clips.name)]
    digest.update(json.dumps([*texts, list(clips.scene), list(clips.events.source)]).encode())
    events = clips.events
    for table in (clips.target, clips.fold, events.mixture, events.label, events.onset_s,
                  events.offset_s, events.snr_db):  # fmt: skip
        digest.update(np.ascontiguousarray(table).tobytes())
    return digest.hexdigest()


def _unwritable(path: Path, error: OSError) -> SedmtlError:
    reason = error.strerror or str(error)
    return SedmtlError(f"cannot write {path}: {reason}; what was finished is kept")
