"""`sedmtl features`: mixture stores or custom recordings -> feature stores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sedmtl.config import Config
from sedmtl.data import audio
from sedmtl.data.clips import LabelledClips, load_clips
from sedmtl.data.faults import Faults, UnreadableRecordingError
from sedmtl.data.label_counts import rare_classes, table_of_classes
from sedmtl.features.mixtures import MixtureReader, open_mixtures
from sedmtl.features.recordings import (
    BLOCK,
    WindowStart,
    n_longer,
    read_windows,
    row_blocks,
    undecodable,
    window_table,
)
from sedmtl.features.rows import (
    How,
    Read,
    all_of,
    feature_arrays,
    features_of,
    open_front_end,
    targets_of,
)
from sedmtl.features.targets import TARGETS, ReadEvents
from sedmtl.runtime import progress
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.lock import folder_lock
from sedmtl.runtime.origin import stamp_of
from sedmtl.runtime.text import counted
from sedmtl.runtime.workers.cluster import open_workers
from sedmtl.runtime.workers.shards import Arrays, map_arrays, scratch_beside
from sedmtl.runtime.workers.threads import Workers
from sedmtl.store import (
    Attributes,
    ClipTable,
    StoreWriter,
    announce,
    check_mixing,
    choose_store,
    other_snr_db,
    stores_in,
)

PROTOCOL = 1
"""Raise it when the same audio would give different features: stores are then rebuilt."""

MakeArrays = Callable[[Any], Arrays]


@dataclass(frozen=True)
class _Source:
    """What a feature store is made from.

    Attributes:
        blocks: The rows in order, in blocks for `read`.
        read: A block -> audio (n_samples,) of each of its rows.
        origin: Hash of the mixtures.
        recorded: Notes on the clips for the store.
        stamp: Stamp of the recordings, if they are read directly.
        read_events: A block -> the separate events of each of its rows, if stored.
        stems: Hash of these events.
        n_slots: Most events in a row; 0 without separate events.
    """

    clips: ClipTable
    classes: Sequence[str]
    blocks: Sequence[Sequence[Any]]
    read: Read
    origin: str
    recorded: Attributes
    stamp: str = ""
    read_events: ReadEvents | None = None
    stems: str = ""
    n_slots: int = 0


def features(
    config: Config,
    names: Sequence[str],
    n_workers: int,
    scheduler: str | None = None,
    *,
    strict: bool = False,
) -> list[Path]:
    """Make the feature store of each named mixture store (`snr_10`).

    Without names, process all mixture stores and `corpus.clips`. With a `scheduler`, the workers of
    a Dask cluster replace the threads. Unreadable recordings of `corpus.clips` are left out and
    listed at the end.

    Raises:
        SedmtlError: There is nothing to process, or `strict` is set and a recording is unreadable.
    """
    mixtures_dir = config.work_dir / "mixtures"
    names_all = list(names) or list(stores_in(mixtures_dir))
    paths = [choose_store(mixtures_dir, name, "sedmtl mix") for name in names_all]
    open_front_end(*_how(config))  # fails early, before any audio is read
    with open_workers(n_workers, scheduler) as workers:
        made = [_process_mixtures(path, config, workers) for path in paths]
        if config.corpus.clips is not None and not names:
            made.append(_process_clips(config, workers, strict=strict))
    if not made:
        raise SedmtlError(
            f"nothing to compute features from: no store in {mixtures_dir} ('sedmtl mix' makes "
            "them), and data.yaml names no corpus.clips"
        )
    return made


def _process_mixtures(path: Path, config: Config, workers: Workers) -> Path:
    with open_mixtures(path) as store:
        check_mixing(store, config.model_dump(mode="json")["mixing"], "sedmtl mix")
        snr_db = other_snr_db(path, store.attributes)
        if snr_db is not None:
            raise SedmtlError(
                f"{path} holds mixtures at {snr_db:g} dB, which contradicts its name: run "
                "'sedmtl mix' again"
            )
        recorded = {"config": store.data_yaml, **store.clip_facts}
        rows, reader = range(len(store)), MixtureReader(store, apart=workers.apart)
        source = _Source(
            store.clips,
            store.classes,
            [rows[first : first + BLOCK] for first in rows[::BLOCK]],
            reader.waveforms,
            store.data_hash("waveform"),
            recorded,
        )
        if "event_stems" in store.arrays:
            n_slots, stems = config.mixing.events_per_mixture, store.data_hash("event_stems")
            source = replace(source, read_events=reader.events, stems=stems, n_slots=n_slots)
        return _write(path.name, source, config, workers)


def _process_clips(config: Config, workers: Workers, *, strict: bool) -> Path:
    clips = load_clips(config)
    probed = audio.probe_each(clips.paths)
    errors = {row: found for row, found in enumerate(probed) if isinstance(found, SedmtlError)}
    lengths_s = np.array([getattr(found, "duration_s", 0.0) for found in probed])
    faults = Faults(config.work_dir / "features" / "clips.unreadable.json", clips)
    errors |= {row: SedmtlError(text) for row, text in faults.known().items()}
    path = None
    while path is None:
        if errors and (strict or len(errors) == len(probed)):
            raise audio.as_one(list(errors.values()), len(probed))
        rows = np.array([row for row in range(len(probed)) if row not in errors])
        try:
            path = _process_readable(clips.of(rows), lengths_s[rows].tolist(), config, workers)
        except UnreadableRecordingError:
            # A fault beyond the header: find all such recordings, then start over without them.
            found = undecodable(clips.paths, rows, config.mixing)
            if not found:
                raise
            faults.keep(found)
            errors |= found
    for error in errors.values():
        progress.say(f"left out: {error}")
    return path


def _process_readable(
    clips: LabelledClips, lengths_s: Sequence[float], config: Config, workers: Workers
) -> Path:
    """Cut long recordings into windows, pad short ones with silence, and write the store."""
    clips, mixing = clips.within(lengths_s), config.mixing
    windows = window_table(lengths_s, config)
    is_long = len(windows.clip) > len(lengths_s)
    clips = replace(clips, windows=windows if is_long else None)
    progress.say(
        f"{counted(len(lengths_s), 'recording')} in {counted(len(windows.clip), 'window')} of "
        f"{mixing.duration_s:g} s: "
        f"{n_longer(windows)} have several, "
        f"{sum(s < mixing.duration_s for s in lengths_s)} are padded with silence"
    )
    for line in table_of_classes(clips, clips.classes, lengths_s):
        progress.say(line)
    rare = rare_classes(clips, clips.classes)
    if rare:
        progress.say(f"warning: {rare}")
    # Cluster workers may run in another folder.
    paths, hop = [path.absolute() for path in clips.paths], config.features.hop
    pairs = zip(windows.clip.tolist(), windows.start.tolist(), strict=True)
    rows = [WindowStart(paths[clip], start * hop) for clip, start in pairs]
    read = partial(read_windows, mixing=mixing)
    recorded = {"config": config.describe("corpus", "mixing")}
    stamp = stamp_of(clips.paths)
    blocks = list(row_blocks(rows))
    source = _Source(clips, clips.classes, blocks, read, "recordings", recorded, stamp)
    return _write("clips.h5", source, config, workers)


def _write(name: str, source: _Source, config: Config, workers: Workers) -> Path:
    path = config.work_dir / "features" / name
    settings, mixing = config.features, config.mixing
    how = _how(config)
    encoder = open_front_end(*how).encoder
    attributes = {
        "protocol": PROTOCOL,
        "source": source.origin,
        **settings.logmel,
        "sample_rate": mixing.sample_rate,
        "n_samples": mixing.n_samples,
        "classes": source.classes,
    }
    arrays = feature_arrays(mixing, settings, encoder, source.n_slots)
    recorded = source.recorded
    if encoder is not None:
        attributes["encoder"] = encoder.card.deciding
        recorded = {**recorded, "encoder_file": encoder.card.recorded}
    deciding = str(attributes.get("encoder", ""))
    work: MakeArrays = partial(features_of, read=source.read, how=how, deciding=deciding)
    if source.read_events is not None:
        attributes["stems"] = source.stems
        sizes: dict[str, Any] = {"n_slots": source.n_slots, "n_samples": mixing.n_samples}
        targets = partial(targets_of, read=source.read_events, how=how, **sizes)
        work = partial(all_of, (work, targets))
    with folder_lock(path.parent, "sedmtl features"):
        # After locking: the writer checks for an existing store, which others may still change.
        writer = StoreWriter(path, arrays, source.clips, attributes, recorded, source.stamp)
        of_what = "clips" if source.clips.windows is None else "windows"
        announce(f"{_described(arrays)} of {writer.n_rows:,} {of_what}", [writer])
        if encoder is not None and not writer.is_there:
            encoder.announce(writer.n_rows, mixing.duration_s, workers.n_threads())
        with writer:
            _fill(writer, work, source.blocks, workers)
            writer.finish()
    return path


def _how(config: Config) -> How:
    return config.mixing.sample_rate, config.features, config.encoder_path


def _described(arrays: Collection[str]) -> str:
    frames = " and frames" if "frames" in arrays else ""
    targets = ", also of events and classes alone," if TARGETS[0] in arrays else ""
    return f"log-mel{frames}{targets}"


def _fill(
    writer: StoreWriter,
    work: MakeArrays,
    blocks: Sequence[Sequence[Any]],
    workers: Workers,
) -> None:
    ends = accumulate(len(block) for block in blocks)
    todo = [(end, block) for end, block in zip(ends, blocks, strict=True) if end > writer.n_done]
    bar = progress.progress(f"features {writer.path.stem}", writer.n_rows, writer.n_done)
    with _one_torch_thread(), scratch_beside(writer.path) as scratch, bar as advance:
        done = map_arrays(work, (block for _, block in todo), workers, scratch)
        for (end, block), arrays in zip(todo, done, strict=True):
            writer.write(end - len(block), **arrays)
            advance(len(block))


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Limit torch to one thread: the workers already use all cores."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
