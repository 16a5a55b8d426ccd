"""The workers of a Dask cluster; the only module that uses Dask.

Dask comes with the extra `sedmtl[dask]` and is imported when a scheduler is given. When a worker
dies, Dask reassigns its items to another one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import partial
from queue import Empty, Queue
from threading import Thread
from types import ModuleType
from typing import Any

import sedmtl
from sedmtl.runtime import progress
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.workers.threads import Workers, threads

CONNECT_S = 8.0
"""How long to wait for a scheduler to answer."""

WAIT_S = 60.0
"""How long to wait for the first worker."""

KEPT = "finished work is kept; rerun the same command to resume"


@contextmanager
def open_workers(n_threads: int, scheduler: str | None) -> Iterator[Workers]:
    """Threads of this machine, or the workers of a Dask scheduler such as `tcp://host:8786`.

    Raises:
        SedmtlError: Dask is missing, the scheduler cannot be reached or has no worker, a worker
            has a different version of sedmtl, or the cluster fails while the block runs.
    """
    with threads(n_threads) if scheduler is None else _connect(scheduler) as workers:
        yield workers


@contextmanager
def _connect(address: str) -> Iterator[Workers]:
    distributed = _dask()
    with _open_client(distributed, address) as client:
        try:
            _check_versions(client, address)
        except (CancelledError, OSError) as error:
            raise _gone(address) from error
        # Dask's own futures: those of `get_executor` never finish if the scheduler is gone. Not
        # pure, or Dask would return an earlier result for the same path.
        submit = partial(client.submit, _as_here, sedmtl.__version__, pure=False)
        try:
            yield Workers(submit, partial(_count_threads, client, address), apart=True)
        except distributed.KilledWorker as error:
            raise SedmtlError(
                f"{error.last_worker.address} and other workers of {address} died on the same "
                f"item (out of memory?); {KEPT}"
            ) from error
        except (CancelledError, distributed.client.ClosedClientError) as error:
            raise _gone(address) from error


def _gone(address: str) -> SedmtlError:
    return SedmtlError(f"lost the connection to the scheduler {address}; {KEPT}")


def _dask() -> ModuleType:
    try:
        import distributed
    except ImportError as error:
        raise SedmtlError(
            f"--scheduler needs Dask ({error}): pip install 'sedmtl[dask]'"
        ) from error
    # These log a lost connection with tracebacks; our error is one sentence.
    for name in ("distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return distributed


def _open_client(distributed: ModuleType, address: str) -> Any:
    if not address:  # Dask would start a cluster of its own
        raise SedmtlError("--scheduler is empty: expected an address such as tcp://host:8786")
    answers: Queue[Any] = Queue()

    def connect() -> None:
        try:
            answers.put(distributed.Client(address, timeout=CONNECT_S, set_as_default=False))
        except Exception as error:  # raised below
            answers.put(error)

    # In a thread: Dask waits forever for a server that accepts a connection but never answers.
    Thread(target=connect, daemon=True).start()
    try:
        answer = answers.get(timeout=CONNECT_S + 1)
    except Empty:
        raise SedmtlError(
            f"--scheduler {address}: the server there does not answer; expected a Dask scheduler"
        ) from None
    if isinstance(answer, Exception):
        # Any exception: Dask misreads the first bytes of an HTTP server as the length of an array.
        raise SedmtlError(
            f"--scheduler {address}: no Dask scheduler answers ({answer}); expected an address "
            "such as tcp://host:8786"
        ) from answer
    return answer


def _check_versions(client: Any, address: str) -> None:
    """Wait for a worker; check that scheduler and workers have this process's sedmtl version."""
    if not _count_threads(client, address):
        progress.say(f"waiting up to {WAIT_S:g} s for a worker of {address}")
    try:
        # Submit an item: an adaptive cluster starts workers only for items, not for queries. Use a
        # built-in function: a worker without sedmtl dies when it receives one of ours.
        client.submit(int, pure=False).result(timeout=WAIT_S)
        versions = {address: client.run_on_scheduler(_version)}
    except TimeoutError as error:
        raise SedmtlError(
            f"{address} has no worker: start some with 'dask worker {address}'"
        ) from error
    except ImportError as error:
        versions = {address: error}
    versions.update(client.run(_version, on_error="return"))
    for place, version in versions.items():
        gone = isinstance(version, OSError)
        if version != sedmtl.__version__ and not gone:
            raise _differs(place, sedmtl.__version__, version)


def _as_here(version: str, function: Callable[[Any], Any], item: Any) -> Any:
    """Run on a worker; it may have joined after the versions were compared, so check again."""
    if sedmtl.__version__ != version:
        raise _differs("a worker", version, sedmtl.__version__)
    return function(item)


def _differs(place: str, expected: str, found: object) -> SedmtlError:
    return SedmtlError(
        f"{place}: expected sedmtl {expected} as here, found {found}; install the same version "
        "there"
    )


def _version() -> str:
    return sedmtl.__version__


def _count_threads(client: Any, address: str) -> int:
    """Threads of all workers; a call takes 0.3 ms."""
    try:
        return sum(client.nthreads().values())
    except OSError as error:
        raise _gone(address) from error
