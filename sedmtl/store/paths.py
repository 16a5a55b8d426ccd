"""Locations and names of the stores in a work folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from sedmtl.runtime.errors import SedmtlError, suggest
from sedmtl.runtime.folders import entries
from sedmtl.store.reader import Store


def mixture_path(work_dir: Path, snr_db: float) -> Path:
    """Path of the mixture store at an SNR."""
    return work_dir / "mixtures" / f"{data_name(snr_db)}.h5"


def store_of_wav(work_dir: Path, audio_path: Path) -> Path | None:
    """The mixture store that `sedmtl mix --wav` exported a file from; None for other files."""
    folder = audio_path.resolve().parent
    store_path = folder.with_name(f"{folder.name}.h5")  # `with_suffix` would cut snr_2.5
    is_ours = folder.parent == (work_dir / "mixtures").resolve() and store_path.is_file()
    return store_path if is_ours else None


def data_name(snr_db: float) -> str:
    """Name of the data at an SNR: `snr_10`. Adding 0 turns -0 into 0."""
    return f"snr_{snr_db + 0:g}"


def other_snr_db(path: Path, attributes: Mapping[str, Any]) -> float | None:
    """SNR of a store's mixtures if it contradicts the file name; None if they agree."""
    snr_db: float | None = attributes.get("snr_db")
    return None if snr_db is None or data_name(snr_db) == path.stem else snr_db


def stores_in(folder: Path) -> dict[str, Path]:
    """Finished stores in a folder by name, sorted by SNR.

    Raises:
        SedmtlError: The folder cannot be read.
    """

    def order(path: Path) -> tuple[float, str]:
        try:
            return float(path.stem.removeprefix("snr_")), path.stem
        except ValueError:
            return inf, path.stem

    found = [path for path in entries(folder) if path.suffix == ".h5" and path.name[0] != "."]
    return {path.stem: path for path in sorted(found, key=order)}


def folds_of(path: Path) -> list[int]:
    """The folds of a store, sorted."""
    with Store(path, "logmel") as store:
        return [int(fold) for fold in np.unique(store.clips.fold)]


def choose_store(folder: Path, name: str | None, made_by: str, planned: Sequence[str] = ()) -> Path:
    """Find the store with a name, or the only one in the folder.

    Args:
        folder: Folder of the stores.
        name: Name of the store, if the user gave one.
        made_by: The command that makes the stores.
        planned: Names of stores that may not exist yet; without a name, used only if none exists.

    Raises:
        SedmtlError: The store does not exist, or there are several and no name was given.
    """
    stores = stores_in(folder)
    if name or not stores:
        stores = {**{each: folder / f"{each}.h5" for each in planned}, **stores}
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
