"""Items of many iterables, in order, made by threads before they are asked for. A leaf."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import Full, Queue
from typing import Generic, TypeVar

Item = TypeVar("Item")

LOOK_S = 0.1
"""Between two looks of a thread that waits for its items to be used at whether they still are."""


@contextmanager
def prefetch(
    sources: Iterable[Iterable[Item]], n_workers: int, n_ahead: int
) -> Iterator[Iterator[tuple[int, Item]]]:
    """Iterate over many iterables, a thread each, `n_workers` at a time.

    Leaving the block stops the threads. An exception of an iterable is raised where its next item
    would have come.

    Args:
        sources: The iterables.
        n_workers: How many are worked on at once.
        n_ahead: How many items of each may wait; then its thread does, too.

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
    """Stands behind the last item: how the iterable ended."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Lane(Generic[Item]):
    """The items of one iterable that wait."""

    def __init__(self, n_ahead: int, stop: threading.Event) -> None:
        self._queue: Queue[Item | _End] = Queue(n_ahead)
        self._stop = stop

    def fill(self, source: Iterable[Item]) -> None:
        """Put every item in, and the end."""
        try:
            for item in source:
                self._put(item)
                if self._stop.is_set():
                    return
            self._put(_End())
        except BaseException as error:  # for the thread that asks for the item
            self._put(_End(error))

    def __iter__(self) -> Iterator[Item]:
        while not isinstance(item := self._queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error

    def _put(self, item: Item | _End) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=LOOK_S)
                return
            except Full:
                pass
