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
from sedmtl.data.mix_worker import (
    SAMPLE_BYTES,
    EventFile,
    EventSlice,
    MixtureSpec,
    decode_events,
    render_block,
)
from sedmtl.data.mixture_tables import clip_table
from sedmtl.data.plan import MIXTURE_NAME, Plan, plan
from sedmtl.data.render import PROTOCOL
from sedmtl.events import strong_label_text
from sedmtl.runtime import disk_space, progress
from sedmtl.runtime.atomic import write_text
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.lock import folder_lock
from sedmtl.runtime.origin import stamp_of
from sedmtl.runtime.outputs import Outputs
from sedmtl.runtime.text import counted
from sedmtl.runtime.workers.cluster import open_workers
from sedmtl.runtime.workers.shards import map_arrays, scratch_beside
from sedmtl.runtime.workers.threads import Workers
from sedmtl.store import (
    Attributes,
    RowArray,
    Store,
    StoreWriter,
    announce,
    check_n_classes,
    mixture_path,
)

BLOCK = 4
"""Mixtures rendered or clips decoded per block: enough to keep a thread busy, small in memory."""

MANY = 50_000
"""Number of mixtures from which planning takes a second or more and is announced."""


@dataclass(frozen=True)
class MixOptions:
    """Options of the command line.

    Attributes:
        stems: Whether to also store the event part, the scene part and each event separately.
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
class _Job:
    """One run: what to mix, the workers, and the folder for temporary files."""

    config: Config
    options: MixOptions
    planned: Plan
    workers: Workers
    scratch: Path

    @property
    def segments(self) -> EventFile:
        """The file with the audio of the events."""
        return EventFile(self.scratch / "events.f32")


def mix(config: Config, options: MixOptions) -> list[Path]:
    """Plan the mixtures, render them at every SNR, and write one store per SNR.

    Returns:
        The stores, in order of the SNRs.
    """
    for snr_db in options.snrs_db:  # not validated by the schema
        if not -100 <= snr_db <= 100:
            raise SedmtlError(f"--snr: expected -100 to 100 dB, found {snr_db:g}")
    paths = [mixture_path(config.work_dir, snr_db) for snr_db in options.snrs_db]
    with open_workers(options.n_workers, options.scheduler) as workers:
        planned = plan_project(config)
        names = [mixture.name for mixture in planned.mixtures[: options.n_wavs]]
        wavs = Outputs(paths[0].parent)
        wavs.check(path.with_suffix("") / name for path in paths for name in names)
        with folder_lock(paths[0].parent, "sedmtl mix"), scratch_beside(paths[0]) as scratch:
            _write_stores(paths, _Job(config, options, planned, workers, scratch))
    for path in paths:
        _write_wavs(path, wavs, config.mixing.sample_rate, options.n_wavs)
    return paths


def plan_project(config: Config) -> Plan:
    """Plan the mixtures of a project, and check that all files are readable.

    Raises:
        SedmtlError: A corpus is missing or too small, or a file cannot be read.
    """
    mixing = config.mixing
    clips = load_events(config)
    usable = [clip for clip in clips if clip.usable]
    check_n_classes(len({clip.label for clip in usable}))
    scenes = load_scenes(config)
    if mixing.n_mixtures >= MANY:
        n_recordings = f"{len(usable):,} recordings of events"
        progress.say(f"planning {mixing.n_mixtures:,} mixtures of {n_recordings}")
    infos = audio.probe_all([clip.path for clip in usable])
    durations_s = {c.name: info.duration_s for c, info in zip(usable, infos, strict=True)}
    rng = np.random.default_rng(mixing.seed)
    planned = plan(clips, scenes, durations_s, mixing, rng)
    audio.probe_all(sorted({mixture.scene.path for mixture in planned.mixtures}))
    return planned


def _write_stores(paths: Sequence[Path], job: _Job) -> None:
    """Render in one pass over the mixtures: each scene is read once for all SNRs."""
    folder, planned, snrs_db = paths[0].parent, job.planned, job.options.snrs_db
    # Before reading the audio: a file that changes in the meantime has another stamp next time.
    clips = [event.clip.path for mixture in planned.mixtures for event in mixture.events]
    scenes = [mixture.scene.path for mixture in planned.mixtures]
    stamp = stamp_of(dict.fromkeys([*clips, *scenes]))
    events = _read_events(job, folder)
    _warn_of_silence(events)
    writers = [
        _writer(path, snr_db, job, events, stamp)
        for path, snr_db in zip(paths, snrs_db, strict=True)
    ]
    n_snrs = sum(not writer.is_there for writer in writers)
    announce(f"{counted(len(planned.mixtures), 'mixture')} at {counted(n_snrs, 'SNR')}", writers)
    with ExitStack() as stack:
        for writer in writers:
            stack.enter_context(writer)
            if writer.n_done < writer.n_rows:
                _remove_wavs(writer.path)
        _render(writers, job, events)
        # Only now, after all audio has been read: a plan without its mixtures would be misleading.
        write_text(folder / "plan.yaml", planned.text())
        write_text(folder / "plan.tsv", strong_label_text(planned.strong_labels()))
        for writer in writers:
            writer.finish()


def _read_events(job: _Job, folder: Path) -> dict[str, EventSlice]:
    """Decode every clip of the plan once into one file; return its slices by clip name."""
    mixing = job.config.mixing
    used = {event.clip.name: event.clip for m in job.planned.mixtures for event in m.events}
    # Cluster workers may run in another folder.
    clips = [replace(clip, path=clip.path.absolute()) for clip in used.values()]
    blocks = [clips[i : i + BLOCK] for i in range(0, len(clips), BLOCK)]
    segments: list[EventSlice] = []
    first = 0
    n_bytes = len(clips) * mixing.n_event_samples * SAMPLE_BYTES
    disk_space.announce(f"{len(clips):,} event clips, while mixing", n_bytes, folder)
    decode = partial(decode_events, mixing=mixing)
    with progress.progress("reading event clips", len(clips)) as advance:
        for block in map_arrays(decode, blocks, job.workers, job.scratch):
            job.segments.append(block["samples"])
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


def _render(writers: Sequence[StoreWriter], job: _Job, events: Mapping[str, EventSlice]) -> None:
    """Render and write the mixtures that are missing in any store."""
    mixing, snrs_db = job.config.mixing, job.options.snrs_db
    n_done = min(writer.n_done for writer in writers)
    todo = [
        MixtureSpec(
            mixture.scene.path.absolute(),
            [events[event.clip.name] for event in mixture.events],
            [round(event.onset_s * mixing.sample_rate) for event in mixture.events],
        )
        for mixture in job.planned.mixtures[n_done:]
    ]
    blocks = [todo[i : i + BLOCK] for i in range(0, len(todo), BLOCK)]
    work = partial(
        render_block,
        segments=job.segments,
        mixing=mixing,
        snrs_db=snrs_db,
        stems=job.options.stems,
    )
    what = f"mixing {', '.join(f'{snr:g}' for snr in snrs_db)} dB"
    with progress.progress(what, len(job.planned.mixtures), n_done) as advance:
        for arrays in map_arrays(work, blocks, job.workers, job.scratch):
            for k, writer in enumerate(writers):
                writer.write(n_done, **{name: rows[k] for name, rows in arrays.items()})
            n_new = arrays["waveform"].shape[1]
            n_done += n_new
            advance(n_new)


def mixture_arrays(mixing: Mixing, *, stems: bool) -> dict[str, RowArray]:
    """The large arrays of a mixture store by name."""
    arrays = {"waveform": RowArray((mixing.n_samples,), np.int16)}
    if stems:
        arrays["stems"] = RowArray((2, mixing.n_samples), np.int16)
        per_row = (mixing.events_per_mixture, mixing.n_event_samples)
        arrays["event_stems"] = RowArray(per_row, np.int16)
    return arrays


def _writer(
    path: Path, snr_db: float, job: _Job, events: Mapping[str, EventSlice], stamp: str
) -> StoreWriter:
    mixing, corpus = job.config.mixing, job.config.corpus
    attributes: Attributes = {
        "protocol": PROTOCOL,
        "snr_db": float(snr_db),
        "sample_rate": mixing.sample_rate,
        "classes": job.planned.classes,
    }
    recorded: Attributes = {
        "event_corpus": corpus.events.kind if corpus.events else "",
        "scene_corpus": corpus.scenes.kind if corpus.scenes else "",
        "onsets": mixing.onsets if isinstance(mixing.onsets, str) else "fixed",
        "config": job.config.describe("corpus", "mixing"),
    }
    clips = clip_table(job.planned, events, snr_db)
    arrays = mixture_arrays(mixing, stems=job.options.stems)
    return StoreWriter(path, arrays, clips, attributes, recorded, stamp)


def _remove_wavs(path: Path) -> None:
    """Remove the WAV files that an earlier plan exported, and their folder if it is empty."""
    folder, wavs = path.with_suffix(""), Outputs(path.parent)
    found = [each for each in folder.glob("mix_*.wav") if MIXTURE_NAME.fullmatch(each.name)]
    theirs = [each for each in found if not wavs.remove(each)]
    if theirs:
        progress.say(
            f"warning: {theirs[0]} was not written by sedmtl or has been changed since, so it "
            f"stays ({len(theirs)} of {len(found)} files), but it is not a mixture of {path.name}"
        )
    with suppress(OSError):  # it has other files, or does not exist
        folder.rmdir()


def _write_wavs(path: Path, wavs: Outputs, sample_rate: int, n_wavs: int) -> None:
    """Export the first mixtures of a store as WAV files to a folder next to it."""
    with Store(path, "waveform") as store:
        for row in range(min(n_wavs, len(store))):
            wav_path = path.with_suffix("") / store.clips.name[row]
            samples = store.read(range(row, row + 1))[0]
            wavs.write(wav_path, audio.wav_bytes(samples, sample_rate))
