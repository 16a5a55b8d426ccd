"""The clips of a store on a device, batch by batch, ready before they are asked for.

On a GPU whose memory holds the whole store, all of it is copied there once. Otherwise a thread
reads each batch while the one before it is computed with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sedmtl.store import Rows

ReadRows = Callable[[Rows], npt.NDArray[np.float32]]

SHARE = 0.5
"""Of a GPU's free memory that the store may take: activations need the rest."""

BLOCK = 256
"""Clips that are copied at a time when all are."""


class Batch(NamedTuple):
    """Clips on the device: log-mel (B, T, F) float32, target (B, C) float32."""

    logmel: Tensor
    target: Tensor


class Feed:
    """Where a training loop gets its batches from.

    Args:
        read: Rows of the store -> (n, T, F).
        target: (n, C) of all rows, 0 and 1.
        device: Where they are wanted.
        resident: Whether to keep the whole store there.

    Attributes:
        waited_s: Seconds that batches were not ready when they were asked for.
    """

    def __init__(
        self,
        read: ReadRows,
        target: npt.NDArray[np.uint8],
        device: torch.device,
        *,
        resident: bool,
    ) -> None:
        self.waited_s = 0.0
        self._read = read
        self._device = device
        self._target = torch.from_numpy(target).to(device)
        self._all = self._read_all(len(target)) if resident else None

    def run(self, batches: Iterable[Rows]) -> Iterator[Batch]:
        """The clips of each batch of rows, in order.

        Raises:
            SedmtlError: The store is damaged there.
        """
        if self._all is not None:
            for rows in batches:
                on_device = torch.from_numpy(rows).to(self._device)
                yield Batch(self._all[on_device], self._target[on_device].float())
            return
        with ThreadPoolExecutor(1) as reader:
            # One ahead: reading takes a small part of a step, a second batch would only wait.
            pending: list[tuple[Rows, Future[Tensor]]] = []
            for rows in batches:
                pending.append((rows, reader.submit(self._load, rows)))
                if len(pending) == 2:
                    yield self._send(*pending.pop(0))
            for rows, block in pending:
                yield self._send(rows, block)

    def _load(self, rows: Rows) -> Tensor:
        block = torch.from_numpy(self._read(rows))
        # Only from pinned memory does a copy to the GPU not hold up what is queued there.
        return block.pin_memory() if self._device.type == "cuda" else block

    def _send(self, rows: Rows, block: Future[Tensor]) -> Batch:
        started = time.monotonic()
        read = block.result()
        self.waited_s += time.monotonic() - started
        on_device = torch.from_numpy(rows).to(self._device)
        logmel = read.to(self._device, non_blocking=True)
        return Batch(logmel, self._target[on_device].float())

    def _read_all(self, n_rows: int) -> Tensor:
        first = torch.from_numpy(self._read(np.arange(min(1, n_rows))))
        everything = torch.empty(n_rows, *first.shape[1:], device=self._device)
        for start in range(0, n_rows, BLOCK):
            rows = np.arange(start, min(start + BLOCK, n_rows))
            everything[start : start + len(rows)] = torch.from_numpy(self._read(rows))
        return everything


def fits(n_bytes: int, device: torch.device) -> bool:
    """Whether a store of that size may stay on the device.

    On the CPU none does: reading a row from the page cache is a hundredth of a training step.
    """
    if device.type != "cuda":
        return False
    n_free, _ = torch.cuda.mem_get_info(device)
    return n_bytes <= SHARE * n_free
