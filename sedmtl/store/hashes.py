"""SHA-256 hashes of a store's settings, rows and whole content.

The config hash is known before the first row and shows whether an existing store is the one needed.
The hash of each row is stored with it and verified when the row is read. The data hash identifies
the content; later stages record it as their source.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sedmtl.store.tables import NUMBERS, ClipTable
from sedmtl.store.windows import WINDOW_COLUMNS

Attributes = Mapping[str, str | int | float | Sequence[str]]
RowHashes = npt.NDArray[np.uint8]

N_BYTES = 32


def header_hash(
    shapes: Mapping[str, Sequence[Any]], clips: ClipTable, attributes: Attributes
) -> str:
    """Hash everything but the content of the arrays; `shapes`: row shape and type of each."""
    texts = [dict(sorted(shapes.items())), dict(sorted(attributes.items()))]
    digest = hashlib.sha256(json.dumps(texts, default=list).encode())
    _add_tables(digest, clips)
    return digest.hexdigest()


def row_hashes(rows: npt.NDArray[Any]) -> RowHashes:
    """(n, …) -> (n, 32): one hash per row. It took 0.34 ms for 10 s of audio."""
    hashes = [hashlib.sha256(np.ascontiguousarray(row).data).digest() for row in rows]
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(len(rows), N_BYTES)


def data_hash(clips: ClipTable, rows: Mapping[str, RowHashes]) -> str:
    """Hash the content, independent of its settings; `rows`: (n, 32) hashes of each array."""
    digest = hashlib.sha256()
    _add_tables(digest, clips)
    for name in sorted(rows):
        digest.update(name.encode() + rows[name].tobytes())
    return digest.hexdigest()


def _add_tables(digest: hashlib._Hash, clips: ClipTable) -> None:
    names = [list(clips.name), list(clips.scene), list(clips.events.source)]
    digest.update(json.dumps(names).encode())
    columns = [getattr(clips.events, column) for column in NUMBERS]
    if clips.windows is not None:
        columns += [getattr(clips.windows, column) for column in WINDOW_COLUMNS]
    for table in (clips.target, clips.fold, clips.validation, *columns):
        digest.update(np.ascontiguousarray(table).tobytes())
