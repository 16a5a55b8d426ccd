"""`sedmtl features`: mixture stores, or recordings of one's own -> feature stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import yaml

from sedmtl import audio, progress
from sedmtl.clips import load_clips
from sedmtl.config import Config
from sedmtl.errors import SedmtlError
from sedmtl.logmel import LogMel, n_frames
from sedmtl.mixture import FULL_SCALE
from sedmtl.provenance import check_settings
from sedmtl.stores import (
    ClipTable,
    RowArray,
    Store,
    StoreWriter,
    choose_store,
    stores_in,
)
from sedmtl.workers import map_in_order

BLOCK = 8
"""Clips a batch. Fixed, so that the bytes do not depend on the number of workers."""

Waveforms = npt.NDArray[np.float32]


def features(config: Config, names: Sequence[str], n_workers: int) -> list[Path]:
    """Make the feature store of each named mixture store, and of `corpus.clips`.

    Args:
        config: Of the project.
        names: Of mixture stores, `snr_10`; if empty: all there are, and `corpus.clips`.
        n_workers: Threads.

    Raises:
        SedmtlError: There is nothing to make features of.
    """
    mixtures_dir = config.work_dir / "mixtures"
    names_all = list(names) or list(stores_in(mixtures_dir))
    paths = [choose_store(mixtures_dir, name, "sedmtl mix") for name in names_all]
    made = [_of_mixtures(path, config, n_workers) for path in paths]
    if config.corpus.clips is not None and not names:
        made.append(_of_clips(config, n_workers))
    if not made:
        raise SedmtlError(
            f"nothing to make features of: no store in {mixtures_dir} ('sedmtl mix' makes them), "
            "and data.yaml names no corpus.clips"
        )
    return made


def _of_mixtures(source: Path, config: Config, n_workers: int) -> Path:
    path = config.work_dir / "features" / source.name
    with Store(source, "waveform", "sedmtl mix") as store:
        made_with = yaml.safe_load(store.attributes["config"])["mixing"]
        wanted = config.model_dump(mode="json")["mixing"]
        # Which SNRs data.yaml lists says nothing about any one store.
        wanted.pop("snrs_db")
        check_settings(source, made_with, wanted, "sedmtl mix")

        def read(rows: range) -> Waveforms:
            return store.read(rows).astype(np.float32) / np.float32(FULL_SCALE)

        made_from = {"source": store.attributes["digest"], "config": store.attributes["config"]}
        _write(path, store.clips, store.classes, read, config, made_from, n_workers)
    return path


def _of_clips(config: Config, n_workers: int) -> Path:
    """Recordings are cut to their first `duration_s` seconds, or padded with silence."""
    path = config.work_dir / "features" / "clips.h5"
    clips = load_clips(config)
    lengths_s = [info.duration_s for info in audio.probe_all(clips.paths)]
    duration_s = config.mixing.duration_s
    progress.say(
        f"{len(lengths_s)} recordings: {sum(s > duration_s for s in lengths_s)} cut to their first "
        f"{duration_s:g} s, {sum(s < duration_s for s in lengths_s)} padded with silence"
    )

    def read(rows: range) -> Waveforms:
        rate, n_samples = config.mixing.sample_rate, config.mixing.n_samples
        waveforms = [audio.read(clips.paths[row], rate, duration_s=duration_s) for row in rows]
        return np.stack([audio.conform(waveform, n_samples) for waveform in waveforms])

    table = ClipTable(clips.names, clips.target, clips.fold, [""] * len(clips.names), clips.events)
    sizes = ",".join(str(path.stat().st_size) for path in clips.paths)
    made_from = {"source": sizes, "config": config.describe("corpus", "mixing")}
    _write(path, table, clips.classes, read, config, made_from, n_workers)
    return path


def _write(
    path: Path,
    clips: ClipTable,
    classes: Sequence[str],
    read: Callable[[range], Waveforms],
    config: Config,
    made_from: dict[str, Any],
    n_workers: int,
) -> None:
    settings = config.features
    rate, n_samples = config.mixing.sample_rate, config.mixing.n_samples
    logmel = LogMel(rate, **settings.model_dump())
    row_shape = (n_frames(n_samples, settings.window, settings.hop), settings.n_mels)
    attributes = {
        **made_from,
        **settings.model_dump(),
        "sample_rate": rate,
        "n_samples": n_samples,
        "classes": classes,
    }
    array = RowArray(row_shape, np.float32)
    with StoreWriter(path, {"logmel": array}, clips, attributes) as writer:
        blocks = [
            range(i, min(i + BLOCK, writer.n_rows))
            for i in range(writer.n_done, writer.n_rows, BLOCK)
        ]
        work = partial(_logmel_of, read=read, logmel=logmel)
        bar = progress.progress(f"log-mel {path.stem}", writer.n_rows, writer.n_done)
        with _one_torch_thread(), bar as advance:
            for block, rows in zip(blocks, map_in_order(work, blocks, n_workers), strict=True):
                writer.write(block.start, logmel=rows)
                advance(len(block))
        writer.finish()


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """The workers are the threads: one more level of them would only get in their way."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _logmel_of(
    rows: range, read: Callable[[range], Waveforms], logmel: LogMel
) -> npt.NDArray[np.float32]:
    with torch.inference_mode():
        result: npt.NDArray[np.float32] = logmel(torch.from_numpy(read(rows))).numpy()
    return result
