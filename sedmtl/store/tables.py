"""The tables of a store: weak labels, folds, and the events where known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from sedmtl.events import Event
from sedmtl.metrics.annotation import Annotation
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store.windows import WINDOW_COLUMNS, WindowTable

NUMBERS = ("mixture", "label", "onset_s", "offset_s", "snr_db")
EVENT_COLUMNS = (*NUMBERS, "source")
CLIP_COLUMNS = ("target", "fold", "validation", "name", "scene")
"""The columns in the order in which they are written."""

TEXTS = ("name", "scene", "source")
"""Columns of strings; all others are arrays of numbers."""


MAX_CLASSES = 100_000
"""Most classes in a store; more are probably read from a wrong column of a table."""

Labels = npt.NDArray[np.signedinteger[Any]]


def check_n_classes(n_classes: int) -> None:
    """Refuse too many classes, before anything is allocated for each."""
    if n_classes > MAX_CLASSES:
        raise SedmtlError(
            f"expected at most {MAX_CLASSES:,} classes, found {n_classes:,}: check the labels of "
            "the corpus"
        )


@dataclass(frozen=True)
class EventTable:
    """The true events of all clips of a store, one row per event, in order of clips.

    Attributes:
        mixture: (n,) the row of the clip.
        label: (n,) index into the classes, int16 if that suffices.
        snr_db: (n,) the realised SNR.
        source: (n,) names of the event clips.
    """

    mixture: npt.NDArray[np.int32]
    label: Labels
    onset_s: npt.NDArray[np.float32]
    offset_s: npt.NDArray[np.float32]
    snr_db: npt.NDArray[np.float32]
    source: Sequence[str]

    @classmethod
    def of(
        cls,
        rows: Sequence[tuple[int, int, float, float]],
        n_classes: int,
        source: Sequence[str] = (),
    ) -> Self:
        """Make a table of (clip, label, onset, offset) rows, in order of clips; SNRs are NaN."""
        mixture, label, onset_s, offset_s = zip(*rows, strict=True) if rows else ((),) * 4
        return cls(
            np.array(mixture, np.int32),
            # int16 where possible, so that stores written before int32 was supported stay valid.
            np.array(label, np.int16 if n_classes - 1 <= np.iinfo(np.int16).max else np.int32),
            np.array(onset_s, np.float32),
            np.array(offset_s, np.float32),
            np.full(len(rows), np.nan, np.float32),
            source or [""] * len(rows),
        )

    @classmethod
    def empty(cls) -> Self:
        """An empty table, for weakly labelled clips."""
        return cls.of([], 0)

    def target(self, n_clips: int, n_classes: int) -> npt.NDArray[np.uint8]:
        """Weak labels that follow from the events: (n_clips, n_classes) of 0 and 1."""
        target = np.zeros((n_clips, n_classes), np.uint8)
        target[self.mixture, self.label] = 1
        return target

    def __len__(self) -> int:
        return len(self.mixture)

    def check(self, n_clips: int, n_classes: int) -> None:
        """Check that every event refers to one of the clips and classes.

        Raises:
            ValueError: An event does not, or its times are invalid.
        """
        if len({len(getattr(self, column)) for column in EVENT_COLUMNS}) > 1:
            raise ValueError("the columns of its events have different lengths")
        fits = (self.mixture >= 0) & (self.mixture < n_clips)
        fits &= (self.label >= 0) & (self.label < n_classes)
        fits &= (self.onset_s >= 0) & (self.onset_s <= self.offset_s) & (self.offset_s < np.inf)
        if not fits.all():
            raise ValueError(f"its event {int(np.argmin(fits))} is impossible")

    def of_clip(self, row: int, classes: Sequence[str]) -> list[Event]:
        """The events of one clip, with class names."""
        ours = self.mixture == row
        columns = (self.label[ours], self.onset_s[ours], self.offset_s[ours])
        return [
            Event(classes[label], float(onset_s), float(offset_s))
            for label, onset_s, offset_s in zip(*columns, strict=True)
        ]

    def of_clips(self, rows: npt.NDArray[np.integer]) -> EventTable:
        """The events of some clips, renumbered in the order given."""
        kept = [np.flatnonzero(self.mixture == row) for row in rows]
        order = np.concatenate([np.empty(0, np.int64), *kept])
        columns = {column: getattr(self, column)[order] for column in NUMBERS}
        of_each = [len(events) for events in kept]
        columns["mixture"] = np.repeat(np.arange(len(rows), dtype=np.int32), of_each)
        return EventTable(**columns, source=[self.source[i] for i in order])


@dataclass(frozen=True)
class ClipTable:
    """The clips of a store, without audio or features.

    Attributes:
        name: (n,) file names.
        target: (n, n_classes) uint8, the weak labels.
        fold: (n,) uint8 from 1.
        validation: (n,) uint8, 1 where the clip is in the inner validation part of its fold.
        scene: (n,) names of the scenes; empty strings where there is none.
        events: The strong labels, where known.
        windows: The rows of the large arrays if a clip has several; None: each clip is a row.
    """

    name: Sequence[str]
    target: npt.NDArray[np.uint8]
    fold: npt.NDArray[np.uint8]
    validation: npt.NDArray[np.uint8]
    scene: Sequence[str]
    events: EventTable
    windows: WindowTable | None = field(default=None, kw_only=True)

    @property
    def n_rows(self) -> int:
        """Rows of the large arrays."""
        return len(self.name) if self.windows is None else len(self.windows.clip)

    def rows_of(
        self, clips: npt.NDArray[np.integer]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows of some clips, and for each row the index of its clip among these."""
        if self.windows is None:
            return np.asarray(clips, np.int64), np.arange(len(clips))
        return self.windows.rows_of(clips)

    def clips_of(self, rows: npt.NDArray[np.integer] | range) -> npt.NDArray[np.integer]:
        """The clip that each row belongs to."""
        return np.asarray(rows, int) if self.windows is None else self.windows.clip[rows]

    def name_of(self, row: int) -> str:
        """Name of the clip that a row belongs to."""
        return self.name[int(self.clips_of(np.array([row]))[0])]


def annotation_of(events: EventTable) -> Annotation:
    """Strong labels of a store, for the metrics.

    Times are stored as float32, and therefore rounded to six decimals here.
    """
    return Annotation(
        clip=events.mixture.astype(np.int64),
        label=events.label.astype(np.int64),
        onset_s=np.asarray(events.onset_s, np.float64).round(6),
        offset_s=np.asarray(events.offset_s, np.float64).round(6),
    )


def known_clips(target: npt.NDArray[np.uint8], events: EventTable) -> npt.NDArray[np.int64]:
    """Clips whose strong labels are known: those with events, and those without any label.

    Empty if no event is known at all: then even clips without labels do not count as known.
    """
    if not len(events):
        return np.empty(0, np.int64)
    known: npt.NDArray[np.bool_] = np.logical_not(target.any(axis=1))
    known[events.mixture] = True
    return np.flatnonzero(known)


def write_clips(file: h5py.File, clips: ClipTable) -> None:
    """Write the tables into a new store."""
    _write(file, clips, CLIP_COLUMNS)
    write_events(file, clips.events)
    write_windows(file, clips.windows)


def write_events(file: h5py.File, events: EventTable) -> None:
    """Write the table of events into a new store."""
    _write(file.create_group("events"), events, EVENT_COLUMNS)


def read_events(file: h5py.File) -> EventTable:
    """Read what `write_events` wrote; raises as `read_array`."""
    return EventTable(**_read(file["events"], EVENT_COLUMNS))


def read_clips(file: h5py.File) -> ClipTable:
    """Read what `write_clips` wrote; raises as `read_array`."""
    events, windows = read_events(file), read_windows(file)
    return ClipTable(**_read(file, CLIP_COLUMNS), events=events, windows=windows)


def write_windows(file: h5py.File, windows: WindowTable | None) -> None:
    """Write the table of windows into a new store, if there is one."""
    if windows is not None:
        _write(file.create_group("windows"), windows, WINDOW_COLUMNS)


def read_windows(file: h5py.File) -> WindowTable | None:
    """Read what `write_windows` wrote; raises as `read_array`."""
    return WindowTable(**_read(file["windows"], WINDOW_COLUMNS)) if "windows" in file else None


def _write(
    group: h5py.Group, table: ClipTable | EventTable | WindowTable, columns: Sequence[str]
) -> None:
    for column in columns:
        write = write_strings if column in TEXTS else write_array
        write(group, column, getattr(table, column))


def _read(group: h5py.Group, columns: Sequence[str]) -> dict[str, Any]:
    return {
        column: (read_strings if column in TEXTS else read_array)(group, column)
        for column in columns
    }


def write_strings(group: h5py.Group, name: str, values: Sequence[str]) -> None:
    """Write fixed-width strings, so that the bytes do not depend on when they were written."""
    width = max((len(value.encode()) for value in values), default=0)
    group.create_dataset(
        name,
        shape=(len(values),),
        data=[value.encode() for value in values] or None,
        dtype=h5py.string_dtype("utf-8", max(width, 1)),
        **_checked(len(values)),
    )


def write_array(group: h5py.Group, name: str, values: npt.NDArray[Any]) -> None:
    """Write an array with a checksum, which HDF5 verifies when it reads the array."""
    group.create_dataset(name, data=values, **_checked(values.size))


def _checked(size: int) -> dict[str, bool]:
    return {"chunks": True, "fletcher32": True} if size else {}  # an empty array has no chunks


def read_array(group: h5py.Group, name: str) -> npt.NDArray[Any]:
    """Read a whole array.

    Raises:
        KeyError, OSError, RuntimeError, TypeError: The array is missing or damaged.
    """
    return np.asarray(_dataset(group, name)[:])


def read_strings(group: h5py.Group, name: str) -> list[str]:
    """Read what `write_strings` wrote; raises as `read_array`."""
    return list(_dataset(group, name).asstr()[:])


def _dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    found = group[name]
    if not isinstance(found, h5py.Dataset) or not found.shape:
        raise TypeError(f"'{name}' is not a table")
    return found


def plain(value: Any) -> Any:
    """Convert an attribute to a plain Python value."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value
