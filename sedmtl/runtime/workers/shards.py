"""Arrays from workers to the one process that writes the store, and the folder for them.

Threads hand their arrays over in memory. The workers of a cluster write each block of rows into a
file of its own, a shard, on the file system that all share: through the scheduler would go names
alone. The bytes of the store are the same.
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

from sedmtl.runtime import memory
from sedmtl.runtime.atomic import make_folder
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.workers.threads import Workers, map_in_order

Arrays = Mapping[str, npt.NDArray[Any]]
Item = TypeVar("Item")

SHARE = "every worker of a cluster needs the files of the machine that asks it, at the same path"


@contextmanager
def scratch_beside(store: Path) -> Iterator[Path]:
    """A hidden folder beside a store, of this run alone: what is in it no other run believes.

    It is removed when the block is left; if a kill prevents that, by the next one. Only for who has
    the lock of the folder that the store is in, and so knows that no other run is at work there.

    Raises:
        SedmtlError: It cannot be made.
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
    """`threads.map_in_order` for a function whose results are arrays by name.

    At most two shards a thread wait in the folder.

    Args:
        function: Picklable, as the items are, if the workers are apart.
        items: What it is applied to.
        workers: Threads or a cluster.
        scratch: Where shards go: a folder that all workers see.

    Raises:
        SedmtlError: The folder is not that of this machine, or is full.
    """
    if not workers.apart:
        yield from map_in_order(function, items, workers)
        return
    write = partial(_write_shard, function=function, folder=scratch)
    for name in map_in_order(write, items, workers):
        yield _take_shard(scratch / name)


def _write_shard(item: Item, function: Callable[[Item], Arrays], folder: Path) -> str:
    """On a worker: the name of the file that the arrays are in."""
    memory.keep()
    arrays: dict[str, Any] = dict(function(item))
    # A name of its own: Dask may do an item twice, and forget the first time.
    shard = folder / f"{uuid4().hex}.npz"
    part = shard.with_suffix(".part")
    try:
        with part.open("wb") as file:
            np.savez(file, **arrays)
        part.replace(shard)
    except OSError as error:
        raise SedmtlError(f"a worker cannot write {shard}: {error.strerror}; {SHARE}") from error
    return shard.name


def _take_shard(shard: Path) -> Arrays:
    try:
        with np.load(shard, allow_pickle=False) as content:
            arrays = dict(content)
        shard.unlink()
    except OSError as error:
        raise SedmtlError(f"cannot read {shard} of a worker: {error.strerror}; {SHARE}") from error
    return arrays
