"""A trained network that finds the events of many recordings, here or on a cluster.

Here batches hold windows of several recordings: that is faster where recordings are short, and
fills a GPU. A worker of a cluster has one recording at a time, which another can do again if it
dies; its batches are other ones, and its threads fewer, by which scores at paper size differed by
2.4e-7 at most.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol

import torch

from sedmtl.inference.detector import Detector
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.inference.recordings import Findings, find_events
from sedmtl.runtime.devices import choose_device
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.progress import Advance
from sedmtl.runtime.workers.cluster import open_workers
from sedmtl.runtime.workers.shards import SHARE
from sedmtl.runtime.workers.threads import Workers, map_in_order

Found = Findings | SedmtlError


class Finder(Protocol):
    """Finds the events of recordings, in their order."""

    def __call__(
        self, paths: Sequence[Path], *, advance: Advance
    ) -> Generator[tuple[int, Found], None, None]:
        """Find events; close the iterator (`contextlib.closing`) to stop before its end.

        Args:
            paths: The recordings.
            advance: Called with the number of seconds of audio just heard.

        Yields:
            The number of each recording with what was found or why it cannot be read.
        """


@contextmanager
def open_finder(
    run: Path,
    settings: PostProcessing,
    batch_size: int,
    n_gpus: int | None,
    n_threads: int,
    scheduler: str | None,
) -> Iterator[Finder]:
    """Open the network of a finished run.

    Args:
        run: Its folder.
        settings: How frame scores become events.
        batch_size: Windows at a time.
        n_gpus: 1 or 0, of this machine or of each worker; None: one if there is one.
        n_threads: Recordings that are read at once on this machine.
        scheduler: Of a Dask cluster, if that is to do it.

    Raises:
        SedmtlError: The run is damaged, or the cluster fails (`cluster.open_workers`).
    """
    if scheduler is None:
        detector = Detector.load(run, choose_device(n_gpus))
        yield partial(
            find_events, detector, settings=settings, batch_size=batch_size, n_workers=n_threads
        )
        return
    work = partial(
        _find_in_one,
        run=run.absolute(),
        digest=digest_of(run),
        n_gpus=n_gpus,
        settings=settings,
        batch_size=batch_size,
    )
    with open_workers(n_threads, scheduler) as workers:
        yield partial(_find_apart, workers=workers, work=work)


def digest_of(run: Path) -> str:
    """SHA-256 of all that decides the scores of a finished run."""
    contents = [(run / name).read_bytes() for name in ("model.json", "model.safetensors")]
    return hashlib.sha256(b"".join(contents)).hexdigest()


def _find_apart(
    paths: Sequence[Path], *, advance: Advance, workers: Workers, work: Callable[[Path], Found]
) -> Generator[tuple[int, Found], None, None]:
    heard_s = 0.0
    # The workers may be in another folder.
    found_in_order = map_in_order(work, [path.absolute() for path in paths], workers)
    for number, found in enumerate(found_in_order):
        if isinstance(found, Findings):
            advance(int(heard_s + found.duration_s) - int(heard_s))
            heard_s += found.duration_s
        yield number, found


def _find_in_one(
    path: Path,
    run: Path,
    digest: str,
    n_gpus: int | None,
    settings: PostProcessing,
    batch_size: int,
) -> Found:
    """On a worker, in one thread: the cluster says how many recordings it has at once."""
    torch.set_num_threads(1)
    ((_, found),) = find_events(_load(run, digest, n_gpus), [path], settings, batch_size)
    return found


@lru_cache(maxsize=1)
def _load(run: Path, digest: str, n_gpus: int | None) -> Detector:
    """Once in each process, and again if the run has changed."""
    if digest_of(run) != digest:
        raise SedmtlError(f"a worker finds another network in {run}: {SHARE}")
    return Detector.load(run, choose_device(n_gpus))
