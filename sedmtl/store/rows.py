"""Rows of a store by their numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


def batches(rows: Rows, batch_size: int) -> Iterator[Rows]:
    """The rows in order, `batch_size` at a time; the last batch may be smaller."""
    for first in range(0, len(rows), batch_size):
        yield rows[first : first + batch_size]
