"""Reading the audio of mixture stores, on this machine or on cluster workers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from sedmtl.data import audio
from sedmtl.features.targets import Placed, read_events
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.workers.shards import SHARE
from sedmtl.store import Store


def open_mixtures(path: Path) -> Store:
    """Open a mixture store, with its separate events if it has them."""
    with Store(path, "waveform") as store:
        names = _arrays_to_read(store)
    return Store(path, *names)


def _arrays_to_read(store: Store) -> list[str]:
    return [name for name in ("waveform", "event_stems") if name in store.arrays]


class MixtureReader:
    """Reads rows of a store from `open_mixtures`; sent to a worker, it reopens the store there."""

    def __init__(self, store: Store, *, apart: bool) -> None:
        self._path = store.path.absolute()
        self._data_hash = store.data_hash(*_arrays_to_read(store))
        self._store = None if apart else store

    def waveforms(self, rows: range) -> Iterable[audio.Audio]:
        """Audio (n_samples,) of each row."""
        read: Iterable[audio.Audio] = self._opened.read_audio(rows)
        return read

    def events(self, rows: range) -> Iterable[Sequence[Placed]]:
        """Separate events of each row."""
        return read_events(rows, self._opened)

    @property
    def _opened(self) -> Store:
        if self._store is None:
            return _opened_apart(self._path, self._data_hash)
        return self._store


@lru_cache(maxsize=1)
def _opened_apart(path: Path, data_hash: str) -> Store:
    store = open_mixtures(path)
    if store.data_hash(*_arrays_to_read(store)) != data_hash:
        raise SedmtlError(f"a worker finds another store at {path}: {SHARE}")
    return store
