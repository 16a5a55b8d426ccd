"""Predicts on many recordings with a Dask cluster.

A worker processes one recording at a time, which another can repeat if it dies. Batches and thread
counts differ from those of local prediction, which changes scores at paper size by at most 2.4e-7.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import lru_cache, partial
from pathlib import Path

import torch

from sedmtl.features.encoder import State, state_of
from sedmtl.inference.detector import Detector
from sedmtl.inference.identity import digest_of
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.inference.prediction import Prediction
from sedmtl.runtime.devices import choose_device
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.workers.shards import SHARE
from sedmtl.runtime.workers.threads import Workers, map_in_order


def predict_remotely(
    workers: Workers,
    run: Path,
    n_gpus: int | None,
    encoder: Path | None,
    paths: Sequence[Path],
    settings: PostProcessing,
    batch_size: int,
    advance: Callable[[int], None],
) -> Generator[tuple[int, Prediction | SedmtlError], None, None]:
    """Like `Detector.predict_many`, on the workers of a cluster.

    Workers must have access to the run folder and the encoder's file. `n_gpus` is 1 or 0 per
    worker; None uses a GPU if the worker has one.
    """
    work = partial(
        _predict_one, run=run.absolute(), digest=digest_of(run), n_gpus=n_gpus,
        encoder=encoder and encoder.absolute(), settings=settings, batch_size=batch_size,
    )  # fmt: skip
    done_s = 0.0
    # Absolute paths: workers may have another working directory.
    found_in_order = map_in_order(work, [path.absolute() for path in paths], workers)
    for number, found in enumerate(found_in_order):
        if isinstance(found, Prediction):
            advance(int(done_s + found.duration_s) - int(done_s))
            done_s += found.duration_s
        yield number, found


def _predict_one(
    path: Path, run: Path, digest: str, n_gpus: int | None, encoder: Path | None,
    settings: PostProcessing, batch_size: int,
) -> Prediction | SedmtlError:  # fmt: skip
    """Predict on a worker, in one thread, since the cluster may run several tasks per worker."""
    torch.set_num_threads(1)
    detector = _load(run, digest, n_gpus, encoder, encoder and state_of(encoder))
    ((_, found),) = detector.predict_many([path], settings, batch_size=batch_size)
    return found


@lru_cache(maxsize=1)
def _load(
    run: Path, digest: str, n_gpus: int | None, encoder: Path | None, _: State | None
) -> Detector:
    """Load the detector, once per process and again if the run or encoder has changed."""
    if digest_of(run) != digest:
        raise SedmtlError(f"a worker finds another network in {run}: {SHARE}")
    return Detector.load(run, choose_device(n_gpus), encoder=encoder)
