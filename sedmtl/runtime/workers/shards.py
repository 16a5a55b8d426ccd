"""Transfer of arrays from workers to the process that writes the store.

Threads pass arrays in memory. Cluster workers write each block of rows to a file of its own, a
shard, on the shared file system, and send only its name through the scheduler. The bytes of the
store are the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from sedmtl.runtime.atomic import make_folder
from sedmtl.runtime.errors import explained
from sedmtl.runtime.process import keep_memory
from sedmtl.runtime.workers.threads import Workers, map_in_order

Arrays = Mapping[str, npt.NDArray[Any]]
Item = TypeVar("Item")

SHARE = "every worker of a cluster must see this machine's files at the same paths"


@contextmanager
def scratch_beside(store: Path) -> Iterator[Path]:
    """Yield a hidden folder next to a store; removed at the end or, after a kill, by the next run.

    The caller must hold the lock of the store's folder, since folders of other runs are removed.
    """
    store = store.absolute()
    for abandoned in store.parent.glob(".*.scratch"):
        shutil.rmtree(abandoned, ignore_errors=True)
    folder = store.with_name(f".{store.name}.{uuid4().hex}.scratch")
    make_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def map_arrays(
    function: Callable[[Item], Arrays], items: Iterable[Item], workers: Workers, scratch: Path
) -> Iterator[Arrays]:
    """`threads.map_in_order` for a function that returns arrays by name.

    If the workers are other processes, function and items must be picklable, all workers must see
    `scratch`, and at most two shards per thread wait there.

    Raises:
        SedmtlError: A worker cannot see the folder, or the disk is full.
    """
    if not workers.apart:
        yield from map_in_order(function, items, workers)
        return
    write = partial(_write_shard, function=function, folder=scratch)
    for name in map_in_order(write, items, workers):
        yield _take_shard(scratch / name)


def _write_shard(item: Item, function: Callable[[Item], Arrays], folder: Path) -> str:
    """Run on a worker: write the arrays to a file and return its name."""
    keep_memory()
    arrays: dict[str, Any] = dict(function(item))
    # A unique name: Dask may compute an item twice and discard the first result.
    shard = folder / f"{uuid4().hex}.npz"
    part = shard.with_suffix(".part")
    with explained(f"a worker cannot write {shard}", f"; {SHARE}"):
        with part.open("wb") as file:
            np.savez(file, **arrays)
        part.replace(shard)
    return shard.name


def _take_shard(shard: Path) -> Arrays:
    with explained(f"cannot read {shard} from a worker", f"; {SHARE}"):
        with np.load(shard, allow_pickle=False) as content:
            arrays = dict(content)
        shard.unlink()
    return arrays
