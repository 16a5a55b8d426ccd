"""The vectors of recordings in an HDF5 file, for other programs: `sedmtl embed`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from sedmtl.store.tables import write_array, write_strings


class Vectors(NamedTuple):
    """Vectors over time of recordings, one recording after the other.

    Attributes:
        name: (n,) of the recordings.
        recording: (N,) the recording of each vector.
        onset_s: (N,) where what it stands for begins, in seconds.
        offset_s: (N,) and where it ends.
        vector: (N, D).
        source: What made them, and its licence.
    """

    name: Sequence[str]
    recording: npt.NDArray[np.int32]
    onset_s: npt.NDArray[np.float64]
    offset_s: npt.NDArray[np.float64]
    vector: npt.NDArray[np.floating]
    source: str


def hdf5_bytes(vectors: Vectors) -> bytes:
    """The content of an HDF5 file with an array for each field."""
    # In memory: HDF5 crashes the process if the disk is full when it closes a new file.
    content = io.BytesIO()
    with h5py.File(content, "w", libver="v110") as file:
        file.attrs["source"] = np.bytes_(vectors.source.encode())
        write_strings(file, "name", vectors.name)
        for field in ("recording", "onset_s", "offset_s", "vector"):
            write_array(file, field, getattr(vectors, field))
    return content.getvalue()
