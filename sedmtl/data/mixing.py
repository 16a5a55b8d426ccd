"""`sedmtl mix`: corpora -> plan and mixture stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from sedmtl.config import Config, Mixing
from sedmtl.data import audio
from sedmtl.data.corpora import load_events, load_scenes
from sedmtl.data.mix_worker import EventFile, EventSlice, MixtureSpec, decode_events, render_block
from sedmtl.data.plan import MIXTURE_NAME, Plan, PlannedMixture, plan
from sedmtl.data.render import PROTOCOL
from sedmtl.events import strong_label_text
from sedmtl.runtime import progress
from sedmtl.runtime.atomic import remove_file, write_text
from sedmtl.runtime.disk_space import announce
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.lock import folder_lock
from sedmtl.runtime.origin import stamp_of
from sedmtl.runtime.workers.cluster import open_workers
from sedmtl.runtime.workers.shards import map_arrays, scratch_beside
from sedmtl.runtime.workers.threads import Workers
from sedmtl.store import (
    Attributes,
    ClipTable,
    EventTable,
    RowArray,
    Store,
    StoreWriter,
    mixture_path,
)

BLOCK = 4
"""Mixtures rendered, or clips decoded, per block: enough to keep a thread busy, but small."""


SAMPLE_BYTES = np.dtype(np.float32).itemsize


@dataclass(frozen=True)
class MixOptions:
    """Options of the command line.

    Attributes:
        snrs_db: SNRs of the stores to write.
        stems: Whether to store events and scene separately, too.
        n_wavs: How many mixtures to export as WAV files.
        n_workers: Number of threads.
        scheduler: Address of a Dask cluster to use instead of threads.
    """

    snrs_db: tuple[float, ...]
    stems: bool
    n_wavs: int
    n_workers: int
    scheduler: str | None = None


@dataclass(frozen=True)
class _Bench:
    """Where one run works: by whom, and in which folder for what does not stay."""

    workers: Workers
    scratch: Path

    @property
    def segments(self) -> EventFile:
        """The audio of the events."""
        return EventFile(self.scratch / "events.f32")


def mix(config: Config, options: MixOptions) -> list[Path]:
    """Plan the mixtures, render them at every SNR, write one store per SNR.

    Returns:
        The stores, in order of the SNRs.
    """
    _check_snrs(options.snrs_db)
    paths = [mixture_path(config.work_dir, snr_db) for snr_db in options.snrs_db]
    with open_workers(options.n_workers, options.scheduler) as workers:
        planned = _plan(config)
        with folder_lock(paths[0].parent, "sedmtl mix"), scratch_beside(paths[0]) as scratch:
            _write_stores(paths, planned, config, options, _Bench(workers, scratch))
    for path in paths:
        _write_wavs(path, config.mixing.sample_rate, options.n_wavs)
    return paths


def _plan(config: Config) -> Plan:
    """Plan the mixtures, and check that all files are readable."""
    mixing = config.mixing
    clips = load_events(config)
    usable = [clip for clip in clips if clip.usable]
    scenes = load_scenes(config)
    infos = audio.probe_all([clip.path for clip in usable])
    durations_s = {c.name: info.duration_s for c, info in zip(usable, infos, strict=True)}
    rng = np.random.default_rng(mixing.seed)
    planned = plan(clips, scenes, durations_s, mixing, rng)
    audio.probe_all(sorted({mixture.scene.path for mixture in planned.mixtures}))
    return planned


def _check_snrs(snrs_db: Sequence[float]) -> None:
    """Check the SNRs of the command line, which no schema validates."""
    for snr_db in snrs_db:
        if not -100 <= snr_db <= 100:
            raise SedmtlError(f"--snr: expected -100 to 100 dB, found {snr_db:g}")


def _read_events(
    planned: Plan, mixing: Mixing, bench: _Bench, folder: Path
) -> dict[str, EventSlice]:
    """Decode every clip of the plan once into one file; return its slices by clip name."""
    used = {event.clip.name: event.clip for m in planned.mixtures for event in m.events}
    # The workers of a cluster may run in another folder.
    clips = [replace(clip, path=clip.path.absolute()) for clip in used.values()]
    blocks = [clips[i : i + BLOCK] for i in range(0, len(clips), BLOCK)]
    decode = partial(decode_events, mixing=mixing)
    segments: list[EventSlice] = []
    first = 0
    n_bytes = len(clips) * round(mixing.event_s * mixing.sample_rate) * SAMPLE_BYTES
    announce(f"{len(clips):,} event clips, while mixing", n_bytes, folder)
    bar = progress.progress("reading event clips", len(clips))
    with bar as advance:
        for block in map_arrays(decode, blocks, bench.workers, bench.scratch):
            bench.segments.append(block["samples"])
            columns = (block[name].tolist() for name in ("n_samples", "level", "snr_offset_db"))
            for n_samples, level, snr_offset_db in zip(*columns, strict=True):
                segments.append(EventSlice(first, n_samples, level, snr_offset_db))
                first += n_samples
            advance(len(block["level"]))
    return dict(zip(used, segments, strict=True))


def _warn_of_silence(events: Mapping[str, EventSlice]) -> None:
    silent = [name for name, event in events.items() if event.snr_offset_db == -np.inf]
    if silent:
        progress.say(
            f"warning: {len(silent)} of {len(events)} event clips begin with silence longer than "
            f"mixing.event_s and are inaudible in their mixtures, for example {silent[0]}: trim "
            "or remove them"
        )


def _write_stores(
    paths: Sequence[Path], planned: Plan, config: Config, options: MixOptions, bench: _Bench
) -> None:
    """Render in one pass over the mixtures: each scene is read once for all SNRs."""
    # Before reading the audio: a file that changes meanwhile has another stamp next time.
    stamp = _stamp(planned)
    events = _read_events(planned, config.mixing, bench, paths[0].parent)
    _warn_of_silence(events)
    writers = [
        _writer(path, snr_db, planned, events, config, options.stems, stamp)
        for path, snr_db in zip(paths, options.snrs_db, strict=True)
    ]
    _announce(writers)
    with ExitStack() as stack:
        for writer in writers:
            stack.enter_context(writer)
            if writer.n_done < writer.n_rows:
                _remove_wavs(writer.path)
        _render(writers, planned, events, config.mixing, options, bench)
        # Only now, after all audio has been read: a plan without its mixtures would be misleading.
        write_text(paths[0].with_name("plan.yaml"), planned.text())
        write_text(paths[0].with_name("plan.tsv"), strong_label_text(planned.strong_labels()))
        for writer in writers:
            writer.finish()


def _announce(writers: Sequence[StoreWriter]) -> None:
    """Announce what will be rendered and the disk space it needs."""
    for writer in writers:
        if writer.replaces:
            progress.say(f"{writer.path} was made with other settings or audio: rebuilding it")
    todo = [writer for writer in writers if not writer.is_there]
    if todo:
        n_snrs = f"{len(todo)} SNR{'s' * (len(todo) > 1)}"
        n_bytes = sum(writer.n_bytes for writer in todo)
        announce(f"{todo[0].n_rows:,} mixtures at {n_snrs}", n_bytes, todo[0].path.parent)


def _render(
    writers: Sequence[StoreWriter],
    planned: Plan,
    events: Mapping[str, EventSlice],
    mixing: Mixing,
    options: MixOptions,
    bench: _Bench,
) -> None:
    """Render and write the mixtures that are missing in any store."""
    n_done = min(writer.n_done for writer in writers)
    todo = [_spec_of(mixture, events, mixing) for mixture in planned.mixtures[n_done:]]
    blocks = [todo[i : i + BLOCK] for i in range(0, len(todo), BLOCK)]
    work = partial(
        render_block,
        segments=bench.segments,
        mixing=mixing,
        snrs_db=options.snrs_db,
        stems=options.stems,
    )
    what = f"mixing {', '.join(f'{snr:g}' for snr in options.snrs_db)} dB"
    with progress.progress(what, len(planned.mixtures), n_done) as advance:
        for arrays in map_arrays(work, blocks, bench.workers, bench.scratch):
            for k, writer in enumerate(writers):
                writer.write(n_done, **{name: rows[k] for name, rows in arrays.items()})
            n_new = arrays["waveform"].shape[1]
            n_done += n_new
            advance(n_new)


def _spec_of(
    mixture: PlannedMixture, events: Mapping[str, EventSlice], mixing: Mixing
) -> MixtureSpec:
    return MixtureSpec(
        mixture.scene.path.absolute(),
        [events[event.clip.name] for event in mixture.events],
        [round(event.onset_s * mixing.sample_rate) for event in mixture.events],
    )


def _writer(
    path: Path,
    snr_db: float,
    planned: Plan,
    events: Mapping[str, EventSlice],
    config: Config,
    stems: bool,
    stamp: str,
) -> StoreWriter:
    n_samples = config.mixing.n_samples
    arrays = {"waveform": RowArray((n_samples,), np.int16)}
    if stems:
        arrays["stems"] = RowArray((2, n_samples), np.int16)
    attributes: Attributes = {
        "protocol": PROTOCOL,
        "snr_db": float(snr_db),
        "sample_rate": config.mixing.sample_rate,
        "classes": planned.classes,
    }
    clips = _clip_table(planned, events, snr_db)
    return StoreWriter(path, arrays, clips, attributes, _recorded(config), stamp)


def _recorded(config: Config) -> Attributes:
    """What a store records about its mixtures: the kinds of corpora and the onset rule."""
    events, scenes, onsets = config.corpus.events, config.corpus.scenes, config.mixing.onsets
    return {
        "event_corpus": events.kind if events else "",
        "scene_corpus": scenes.kind if scenes else "",
        "onsets": onsets if isinstance(onsets, str) else "fixed",
        "config": config.describe("corpus", "mixing"),
    }


def _stamp(planned: Plan) -> str:
    """Stamp of all audio files of the plan, the same for all SNRs."""
    events = [event.clip.path for mixture in planned.mixtures for event in mixture.events]
    scenes = [mixture.scene.path for mixture in planned.mixtures]
    return stamp_of(dict.fromkeys([*events, *scenes]))


def _clip_table(planned: Plan, events: Mapping[str, EventSlice], snr_db: float) -> ClipTable:
    index = {label: i for i, label in enumerate(planned.classes)}
    target = np.zeros((len(planned.mixtures), len(index)), np.uint8)
    rows = [(i, event) for i, mixture in enumerate(planned.mixtures) for event in mixture.events]
    for i, event in rows:
        target[i, index[event.clip.label]] = 1
    return ClipTable(
        name=[mixture.name for mixture in planned.mixtures],
        target=target,
        fold=np.array([mixture.fold for mixture in planned.mixtures], np.uint8),
        validation=np.array([mixture.validation for mixture in planned.mixtures], np.uint8),
        scene=[mixture.scene.name for mixture in planned.mixtures],
        events=EventTable(
            mixture=np.array([i for i, _ in rows], np.int32),
            label=np.array([index[event.clip.label] for _, event in rows], np.int16),
            onset_s=np.array([event.onset_s for _, event in rows], np.float32),
            offset_s=np.array([event.offset_s for _, event in rows], np.float32),
            snr_db=np.array(
                [snr_db + events[e.clip.name].snr_offset_db for _, e in rows], np.float32
            ),
            source=[event.clip.name for _, event in rows],
        ),
    )


def _remove_wavs(path: Path) -> None:
    """Remove the WAV files of an earlier plan beside a store, and their folder if it is empty."""
    folder = path.with_suffix("")
    for wav_path in folder.glob("mix_*.wav"):
        if MIXTURE_NAME.fullmatch(wav_path.name):
            remove_file(wav_path)
    with suppress(OSError):  # it has other files, or does not exist
        folder.rmdir()


def _write_wavs(path: Path, sample_rate: int, n_wavs: int) -> None:
    """Export the first mixtures of a store as WAV files to a folder beside it."""
    with Store(path, "waveform") as store:
        for row in range(min(n_wavs, len(store))):
            wav_path = path.with_suffix("") / store.clips.name[row]
            audio.write(wav_path, store.read(range(row, row + 1))[0], sample_rate)
