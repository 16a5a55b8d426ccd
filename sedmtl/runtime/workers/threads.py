"""The same work on many items, by many workers, in order, with little in memory. A leaf.

On this machine the workers are threads, not processes: decoding, resampling and array arithmetic
all release Python's lock, so two threads rendered 1.8 times what one did on two cores, and nothing
has to be copied. `cluster` has workers on other machines.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Pending(Protocol):
    """A result to come: the future of a thread pool, or one of Dask's."""

    def result(self) -> Any:
        """Wait for it; raises what the function has raised."""

    def cancel(self) -> Any:
        """Have it not worked on, if nobody has begun."""


class Workers(NamedTuple):
    """Who does the work.

    Attributes:
        submit: Takes a function and an item.
        n_threads: How many are worked on at once; asked again for every item, since the workers of
            a cluster come and go.
        apart: Whether they are other processes: functions, items and results are pickled, and
            arrays had better go another way (`shards.map_arrays`).
    """

    submit: Callable[[Callable[[Any], Any], Any], Pending]
    n_threads: Callable[[], int]
    apart: bool


def all_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def threads(n_threads: int) -> Iterator[Workers]:
    """Threads of this process. Leaving the block drops the items that no thread has begun."""
    executor = ThreadPoolExecutor(n_threads)
    try:
        yield Workers(executor.submit, lambda: n_threads, apart=False)
    finally:
        executor.shutdown(cancel_futures=True)


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: Workers
) -> Iterator[Result]:
    """Apply a function to every item; results come in the order of the items.

    At most two results a thread wait for the consumer, whatever the number of items. The first
    exception ends the work and is raised.
    """
    pending: deque[Pending] = deque()
    try:
        for item in items:
            pending.append(workers.submit(function, item))
            if len(pending) > 2 * workers.n_threads():
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
