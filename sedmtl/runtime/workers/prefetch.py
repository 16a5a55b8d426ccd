"""Items of many iterables, computed ahead by threads and returned in order.

Imports nothing from this package.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import Full, Queue
from typing import TypeVar

Item = TypeVar("Item")
Lane = Queue[tuple[Item] | BaseException | None]
"""Queue of one iterable's items, which ends with its exception or None."""

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
        n_ahead: How many items of each are computed ahead before its thread waits.

    Yields:
        An iterator over the items in order, each with the index of its iterable.
    """
    stop = threading.Event()

    def in_order() -> Iterator[tuple[int, Item]]:
        lanes: deque[Lane[Item]] = deque()
        n_taken = 0
        for source in sources:
            lanes.append(Queue(n_ahead))
            pool.submit(_fill, lanes[-1], source, stop)
            if len(lanes) > n_workers:
                yield from ((n_taken, item) for item in _items(lanes.popleft()))
                n_taken += 1
        for number, lane in enumerate(lanes, start=n_taken):
            yield from ((number, item) for item in _items(lane))

    with ThreadPoolExecutor(n_workers) as pool:
        try:
            yield in_order()
        finally:
            stop.set()


def _fill(lane: Lane[Item], source: Iterable[Item], stop: threading.Event) -> None:
    end = None
    try:
        for item in source:
            _put(lane, (item,), stop)
            if stop.is_set():
                return
    except BaseException as error:  # raised again in the consumer's thread
        end = error
    _put(lane, end, stop)


def _put(
    lane: Lane[Item], entry: tuple[Item] | BaseException | None, stop: threading.Event
) -> None:
    while not stop.is_set():
        try:
            lane.put(entry, timeout=POLL_S)
            return
        except Full:
            pass


def _items(lane: Lane[Item]) -> Iterator[Item]:
    while isinstance(entry := lane.get(), tuple):
        yield entry[0]
    if entry is not None:
        raise entry
