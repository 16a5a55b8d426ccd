"""The tables of a store: weak labels, folds, and the events where known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from sedmtl.events import Event

COLUMNS = ("mixture", "label", "onset_s", "offset_s", "snr_db")

MAX_RATIO = 1032
"""Highest compression ratio of Deflate."""


@dataclass(frozen=True)
class EventTable:
    """The true events of all clips of a store, one row per event, in order of clips.

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
        """An empty table, for weakly labelled clips."""
        none = np.empty(0, np.float32)
        return cls(np.empty(0, np.int32), np.empty(0, np.int16), none, none, none, ())

    def __len__(self) -> int:
        return len(self.mixture)

    def check(self, n_clips: int, n_classes: int) -> None:
        """Check that every event refers to these clips and classes.

        Raises:
            ValueError: One does not, or its times are invalid.
        """
        columns = [getattr(self, column) for column in COLUMNS]
        if {len(column) for column in columns} != {len(self.source)}:
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
        number = np.repeat(np.arange(len(rows), dtype=np.int32), [len(each) for each in kept])
        order = np.concatenate([np.empty(0, np.int64), *kept])
        columns = {column: getattr(self, column)[order] for column in COLUMNS}
        columns["mixture"] = number
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
    """

    name: Sequence[str]
    target: npt.NDArray[np.uint8]
    fold: npt.NDArray[np.uint8]
    validation: npt.NDArray[np.uint8]
    scene: Sequence[str]
    events: EventTable


def write_clips(file: h5py.File, clips: ClipTable) -> None:
    """Write the tables into a new store."""
    write_array(file, "target", clips.target)
    write_array(file, "fold", clips.fold)
    write_array(file, "validation", clips.validation)
    write_strings(file, "name", clips.name)
    write_strings(file, "scene", clips.scene)
    write_events(file, clips.events)


def write_events(file: h5py.File, events: EventTable) -> None:
    """Write the table of events into a new store."""
    group = file.create_group("events")
    for column in COLUMNS:
        write_array(group, column, getattr(events, column))
    write_strings(group, "source", events.source)


def read_events(file: h5py.File) -> EventTable:
    """Read what `write_events` wrote."""
    group = file["events"]
    columns = {key: read_array(group, key) for key in COLUMNS}
    return EventTable(**columns, source=read_strings(group, "source"))


def read_clips(file: h5py.File) -> ClipTable:
    """Read what `write_clips` wrote."""
    return ClipTable(
        name=read_strings(file, "name"),
        target=read_array(file, "target"),
        fold=read_array(file, "fold"),
        validation=read_array(file, "validation"),
        scene=read_strings(file, "scene"),
        events=read_events(file),
    )


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
        ValueError: It claims more rows than the file can hold.
    """
    return np.asarray(_dataset(group, name)[:])


def read_strings(group: h5py.Group, name: str) -> list[str]:
    """Read what `write_strings` wrote; raises as `read_array`."""
    return list(_dataset(group, name).asstr()[:])


def _dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    found = group[name]
    if not isinstance(found, h5py.Dataset) or not found.shape:
        raise TypeError(f"'{name}' is not a table")
    if found.nbytes > MAX_RATIO * group.file.id.get_filesize():
        raise ValueError(f"'{name}' claims to have {found.shape[0]} rows")
    return found
