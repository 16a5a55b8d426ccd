"""Parallel work on many items, with results in order and few of them in memory.

Local workers are threads, not processes: decoding, resampling and array arithmetic all release the
GIL, so two threads on two cores rendered 1.8 times as much as one, and nothing has to be copied.
`cluster` provides workers on other machines. Imports nothing from this package.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers(NamedTuple):
    """Threads, or the workers of a cluster.

    Attributes:
        submit: Takes a function and an item; returns a Python or Dask future.
        n_threads: Returns how many items are processed at once; called for every item, since
            cluster workers come and go.
        apart: Whether the workers are other processes: functions, items and results are pickled,
            so arrays are passed through files (`shards.map_arrays`).
    """

    submit: Callable[[Callable[[Any], Any], Any], Future[Any]]
    n_threads: Callable[[], int]
    apart: bool


def all_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def threads(n_threads: int) -> Iterator[Workers]:
    """Yield threads of this process. Leaving the block cancels items that have not started."""
    executor = ThreadPoolExecutor(n_threads)
    try:
        yield Workers(executor.submit, lambda: n_threads, apart=False)
    finally:
        executor.shutdown(cancel_futures=True)


def map_in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: Workers,
    n_ahead: int | None = None,
) -> Iterator[Result]:
    """Apply a function to every item; results come in the order of the items.

    At most `n_ahead` results, by default two per thread, wait for the consumer. The first exception
    stops the work and is raised.
    """
    pending: deque[Future[Any]] = deque()
    try:
        for item in items:
            pending.append(workers.submit(function, item))
            if len(pending) > (n_ahead or 2 * workers.n_threads()):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
