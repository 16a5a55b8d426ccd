"""Items of many iterables, in order, computed ahead by threads.

Imports nothing from this package.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import Full, Queue
from typing import Generic, TypeVar

Item = TypeVar("Item")

POLL_S = 0.1
"""Poll interval of a worker waiting for the consumer."""


@contextmanager
def prefetch(
    sources: Iterable[Iterable[Item]], n_workers: int, n_ahead: int
) -> Iterator[Iterator[tuple[int, Item]]]:
    """Iterate over many iterables, one thread per iterable, `n_workers` at a time.

    Leaving the block stops the threads. An iterable's exception is raised in place of its next
    item.

    Args:
        sources: The iterables.
        n_workers: How many iterables are read at once.
        n_ahead: How many items of each may wait; then its thread waits, too.

    Yields:
        An iterator over the items, each with the number of its iterable, in order.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(n_workers) as pool:
        try:
            yield _in_order(sources, pool, n_workers, n_ahead, stop)
        finally:
            stop.set()


def _in_order(
    sources: Iterable[Iterable[Item]],
    pool: ThreadPoolExecutor,
    n_workers: int,
    n_ahead: int,
    stop: threading.Event,
) -> Iterator[tuple[int, Item]]:
    lanes: deque[_Lane[Item]] = deque()
    n_taken = 0
    for source in sources:
        lanes.append(_Lane(n_ahead, stop))
        pool.submit(lanes[-1].fill, source)
        if len(lanes) > n_workers:
            yield from ((n_taken, item) for item in lanes.popleft())
            n_taken += 1
    for number, lane in enumerate(lanes, start=n_taken):
        yield from ((number, item) for item in lane)


class _End:
    """Marks the end of an iterable, with its exception if it failed."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Lane(Generic[Item]):
    """The waiting items of one iterable."""

    def __init__(self, n_ahead: int, stop: threading.Event) -> None:
        self._queue: Queue[Item | _End] = Queue(n_ahead)
        self._stop = stop

    def fill(self, source: Iterable[Item]) -> None:
        """Put in every item, then the end marker."""
        try:
            for item in source:
                self._put(item)
                if self._stop.is_set():
                    return
            self._put(_End())
        except BaseException as error:  # raised again in the consumer's thread
            self._put(_End(error))

    def __iter__(self) -> Iterator[Item]:
        while not isinstance(item := self._queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error

    def _put(self, item: Item | _End) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=POLL_S)
                return
            except Full:
                pass
