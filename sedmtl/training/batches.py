"""Batches of a store's clips on a device, loaded ahead of time.

If the whole store fits in GPU memory, it is copied there once. Otherwise a thread reads each batch
while the previous one is being processed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sedmtl.runtime.workers.threads import map_in_order, threads
from sedmtl.store import Rows
from sedmtl.training.bags import Bags

ReadRows = Callable[[Rows], npt.NDArray[Any] | Tensor]
ReadTogether = Callable[[Rows], Mapping[str, Tensor]]
Loaded = tuple[Rows, dict[str, Tensor]]

RAW = "raw_logmel"
"""Key of the unstandardised log-mel in a standardised batch."""

SHARE = 0.5
"""Share of free GPU memory that the store may occupy; activations need the rest."""

BLOCK = 256
"""Chunk size, in rows, when copying the whole store."""


class Batch(NamedTuple):
    """A batch of clips on the device.

    Attributes:
        rows: (B,) rows in the store.
        arrays: Arrays by name: `logmel` is (B, T, F) float32; `frames`, if the store has an
            encoder, is (B, T', D) in the stored type, not standardised. Frame k covers
            `1 / Store.encoder.rate_hz` seconds from `k / rate_hz`, independently of the log-mel's
            frames.
        target: (B, C) float32 weak labels.
        which: (W,) for multi-window recordings: the index in the batch of each row's recording;
            `rows` and `arrays` then have W rows. None if each clip is one row.
        weight: (B, C) weight of each label in the detection loss; None weights all equally.
    """

    rows: Tensor
    arrays: Mapping[str, Tensor]
    target: Tensor
    which: Tensor | None = None
    weight: Tensor | None = None

    @property
    def logmel(self) -> Tensor:
        """(B, T, F), or (W, T, F)."""
        return self.arrays["logmel"]

    @property
    def raw_logmel(self) -> Tensor:
        """The unstandardised log-mel, in a standardised batch."""
        return self.arrays[RAW]

    def standardised(self, standardisers: Mapping[str, nn.Module]) -> Batch:
        """The batch with every array standardised that has a standardiser."""
        raw = {RAW: self.logmel} if "logmel" in self.arrays else {}
        return self._replace(arrays={**standardised(self.arrays, standardisers), **raw})


def standardised(
    arrays: Mapping[str, Tensor], standardisers: Mapping[str, nn.Module]
) -> dict[str, Tensor]:
    """Standardise every array that has a standardiser."""
    return {n: standardisers[n](each) if n in standardisers else each for n, each in arrays.items()}


class BatchLoader:
    """Loads the batches of a training loop.

    Args:
        reads: Reader of each array, by name: rows of the store -> (n, …).
        target: (n, C) labels of all clips, 0 or 1.
        device: Device of the batches.
        resident: Whether to keep the whole store on the device.
        n_rows: Rows of the store.
        n_readers: Reader threads, and number of batches prefetched.
        together: Makes several arrays at once; used only if not `resident`.

    Attributes:
        waited_s: Total seconds spent waiting for batches.
    """

    def __init__(
        self,
        reads: Mapping[str, ReadRows],
        target: npt.NDArray[np.uint8],
        device: torch.device,
        *,
        resident: bool,
        n_rows: int | None = None,
        n_readers: int = 1,
        together: ReadTogether = lambda _: {},
    ) -> None:
        self.waited_s = 0.0
        self._together = together
        self._n_readers = n_readers
        self._reads = reads
        self._device = device
        self._target = torch.from_numpy(target).to(device)
        size = len(target) if n_rows is None else n_rows
        self._all = {n: self._read_all(e, size) for n, e in reads.items()} if resident else None

    def run(self, batches: Iterable[Rows], bags: Bags | None = None) -> Iterator[Batch]:
        """Yield batches in order.

        Args:
            batches: The clips of each batch.
            bags: Draws the rows of each clip; by default each clip is a row.

        Raises:
            SedmtlError: A row of the store is damaged.
        """
        if bags is None:
            for rows, arrays in self.read(batches):
                yield Batch(rows, arrays, self._target[rows].float())
            return
        drawn = [(clips, *bags.draw(clips)) for clips in batches]
        read = self.read(rows for _, rows, _ in drawn)
        for (clips, _, which), (rows, arrays) in zip(drawn, read, strict=True):
            target = self.target_of(clips).float()
            yield Batch(rows, arrays, target, torch.from_numpy(which).to(self._device))

    def target_of(self, clips: Rows) -> Tensor:
        """(n, C) uint8 weak labels of clips."""
        return self._target[torch.from_numpy(clips).to(self._device)]

    def read(self, batches: Iterable[Rows]) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        """Yield the rows of each batch and their arrays, on the device; raises like `run`."""
        if self._all is not None:
            for rows in batches:
                on_device = torch.from_numpy(rows).to(self._device)
                yield on_device, {n: each[on_device] for n, each in self._all.items()}
            return
        with threads(self._n_readers) as readers:
            # Reading is fast compared with a step, so a longer queue would not help.
            read = map_in_order(self._load, batches, readers, n_ahead=self._n_readers)
            for rows, arrays in self._timed(read):
                sent = {n: e.to(self._device, non_blocking=True) for n, e in arrays.items()}
                yield torch.from_numpy(rows).to(self._device), sent

    def _timed(self, batches: Iterator[Loaded]) -> Iterator[Loaded]:
        while True:
            started = time.monotonic()
            batch = next(batches, None)
            self.waited_s += time.monotonic() - started
            if batch is None:
                return
            yield batch

    def _load(self, rows: Rows) -> Loaded:
        arrays = {name: torch.as_tensor(read(rows)) for name, read in self._reads.items()}
        arrays |= self._together(rows)
        if self._device.type == "cuda":
            # Only copies from pinned memory run asynchronously with the GPU's queued work.
            arrays = {n: each if each.is_cuda else each.pin_memory() for n, each in arrays.items()}
        return rows, arrays

    def _read_all(self, read: ReadRows, n_rows: int) -> Tensor:
        first = torch.as_tensor(read(np.arange(min(1, n_rows))))
        shape = (n_rows, *first.shape[1:])
        everything = torch.empty(shape, dtype=first.dtype, device=self._device)
        for start in range(0, n_rows, BLOCK):
            rows = np.arange(start, min(start + BLOCK, n_rows))
            everything[start : start + len(rows)] = torch.as_tensor(read(rows))
        return everything


def fits(n_bytes: int, device: torch.device) -> bool:
    """Whether to keep a store of `n_bytes` on the device.

    Never on the CPU: reading from the page cache takes a hundredth of a training step.
    """
    if device.type != "cuda":
        return False
    n_free, _ = torch.cuda.mem_get_info(device)
    return n_bytes <= SHARE * n_free
