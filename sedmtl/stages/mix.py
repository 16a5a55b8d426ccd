"""`sedmtl mix`: corpora -> plan and mixture stores."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from sedmtl import audio, progress
from sedmtl.config import Config, Mixing
from sedmtl.corpora import EventClip, Scene, load_events, load_scenes
from sedmtl.errors import SedmtlError
from sedmtl.events import strong_label_text
from sedmtl.files import make_folder, write_text
from sedmtl.mixture import EventAudio, Plan, PlannedMixture, Rendered, plan, render
from sedmtl.stores import (
    Attributes,
    ClipTable,
    EventTable,
    RowArray,
    Store,
    StoreWriter,
    mixture_path,
)
from sedmtl.workers import map_in_order

BLOCK = 4
"""Mixtures rendered at a time: enough to keep a thread busy, few enough to stay small."""


@dataclass(frozen=True)
class MixOptions:
    """What the command line adds to `data.yaml`.

    Attributes:
        snrs_db: Of the stores to write.
        stems: Whether to keep events and scene apart, too.
        n_wavs: How many mixtures to write as WAV files, to listen to.
        n_workers: Threads.
    """

    snrs_db: tuple[float, ...]
    stems: bool
    n_wavs: int
    n_workers: int


def mix(config: Config, options: MixOptions) -> list[Path]:
    """Plan the mixtures, render them at every SNR, write one store an SNR.

    Returns:
        The stores, in order of the SNRs.
    """
    _check_snrs(options.snrs_db)
    mixing = config.mixing
    clips = load_events(config)
    usable = [clip for clip in clips if clip.usable]
    scenes = load_scenes(config)
    infos = audio.probe_all([clip.path for clip in usable])
    durations_s = {c.name: info.duration_s for c, info in zip(usable, infos, strict=True)}
    rng = np.random.default_rng(mixing.seed)
    planned = plan(clips, scenes, durations_s, mixing, rng)
    audio.probe_all(sorted({mixture.scene.path for mixture in planned.mixtures}))

    folder = config.work_dir / "mixtures"
    make_folder(folder)
    paths = [mixture_path(config.work_dir, snr_db) for snr_db in options.snrs_db]
    with tempfile.TemporaryFile(dir=folder) as cache:
        events = _read_events(planned, mixing, cache, options.n_workers)
        _warn_of_silence(events)
        _write_stores(paths, planned, events, config, options)
    for path in paths:
        _write_wavs(path, mixing.sample_rate, options.n_wavs)
    return paths


def _check_snrs(snrs_db: Sequence[float]) -> None:
    """Those of the command line keep to the range of `mixing.snrs_db`."""
    for snr_db in snrs_db:
        if not -100 <= snr_db <= 100:
            raise SedmtlError(f"--snr: expected -100 to 100 dB, found {snr_db:g}")


def _read_events(
    planned: Plan, mixing: Mixing, cache: IO[bytes], n_workers: int
) -> dict[str, EventAudio]:
    """Decode and resample every clip of the plan once; the audio goes to a file without a name.

    3,710 events of 2 s are 0.95 GB, which belongs on disk and in the page cache, not in the heap.
    """
    used = {event.clip.name: event.clip for m in planned.mixtures for event in m.events}
    clips = list(used.values())
    shape = (len(clips), round(mixing.event_s * mixing.sample_rate))
    segments = np.memmap(cache, np.float32, "w+", shape=shape)
    events: dict[str, EventAudio] = {}
    read = partial(_read_event, mixing=mixing)
    with progress.progress("reading event clips", len(clips)) as advance:
        for i, event in enumerate(map_in_order(read, clips, n_workers)):
            n = len(event.segment)
            segments[i, :n] = event.segment
            events[clips[i].name] = event._replace(segment=segments[i, :n])
            advance(1)
    return events


def _read_event(clip: EventClip, mixing: Mixing) -> EventAudio:
    waveform = audio.read(clip.path, mixing.sample_rate)
    segment = waveform[: round(mixing.event_s * mixing.sample_rate)]
    level = audio.rms(waveform)
    if level == 0:
        raise SedmtlError(f"{clip.path} is silent: expected an event of class '{clip.label}'")
    heard = audio.rms(segment)
    # A segment without sound has no level of its own; its file's keeps the mixture finite.
    return EventAudio(segment, heard if mixing.snr_over == "segment" and heard > 0 else level)


def _warn_of_silence(events: Mapping[str, EventAudio]) -> None:
    silent = [name for name, event in events.items() if event.surplus_db == -np.inf]
    if silent:
        progress.say(
            f"warning: {len(silent)} of {len(events)} event clips begin with silence longer than "
            f"mixing.event_s and cannot be heard in their mixtures, for instance {silent[0]}: trim "
            "them or take them out"
        )


def _write_stores(
    paths: Sequence[Path],
    planned: Plan,
    events: Mapping[str, EventAudio],
    config: Config,
    options: MixOptions,
) -> None:
    """Render in one pass over the mixtures: each scene is read once for all SNRs."""
    with ExitStack() as stack:
        writers = [
            stack.enter_context(_open_writer(path, snr_db, planned, events, config, options.stems))
            for path, snr_db in zip(paths, options.snrs_db, strict=True)
        ]
        n_done = min(writer.n_done for writer in writers)
        for writer in writers:
            if writer.n_done < writer.n_rows:  # WAV files of an earlier plan
                shutil.rmtree(writer.path.with_suffix(""), ignore_errors=True)
        todo = planned.mixtures[n_done:]
        blocks = [todo[i : i + BLOCK] for i in range(0, len(todo), BLOCK)]
        work = partial(_render, events=events, mixing=config.mixing, snrs_db=options.snrs_db)
        what = f"mixing {', '.join(f'{snr:g}' for snr in options.snrs_db)} dB"
        with progress.progress(what, len(planned.mixtures), n_done) as advance:
            for block in map_in_order(work, blocks, options.n_workers):
                for writer, rendered in zip(writers, zip(*block, strict=True), strict=True):
                    rows = {"waveform": np.stack([each.waveform for each in rendered])}
                    if options.stems:
                        rows["stems"] = np.stack([each.stems for each in rendered])
                    writer.write(n_done, **rows)
                n_done += len(block)
                advance(len(block))
        # Only now, when nothing can go wrong with the audio any more: a plan without its mixtures
        # would be believed.
        write_text(paths[0].with_name("plan.yaml"), planned.text())
        write_text(paths[0].with_name("plan.tsv"), strong_label_text(planned.strong_labels()))
        for writer in writers:
            writer.finish()


def _render(
    block: Sequence[PlannedMixture],
    events: Mapping[str, EventAudio],
    mixing: Mixing,
    snrs_db: Sequence[float],
) -> list[list[Rendered]]:
    """Render a block of mixtures at every SNR: a list a mixture, an item an SNR."""
    return [
        list(
            render(
                [events[event.clip.name] for event in mixture.events],
                [round(event.onset_s * mixing.sample_rate) for event in mixture.events],
                _read_scene(mixture.scene, mixing),
                mixing.n_samples,
                snrs_db,
            )
        )
        for mixture in block
    ]


def _read_scene(scene: Scene, mixing: Mixing) -> audio.Audio:
    waveform = audio.read(scene.path, mixing.sample_rate, duration_s=mixing.duration_s)
    if audio.rms(waveform) == 0:
        raise SedmtlError(f"{scene.path} is silent: expected a scene, which sets the SNR")
    return waveform


def _open_writer(
    path: Path,
    snr_db: float,
    planned: Plan,
    events: Mapping[str, EventAudio],
    config: Config,
    stems: bool,
) -> StoreWriter:
    n_samples = config.mixing.n_samples
    arrays = {"waveform": RowArray((n_samples,), np.int16)}
    if stems:
        arrays["stems"] = RowArray((2, n_samples), np.int16)
    attributes: Attributes = {
        "snr_db": float(snr_db),
        "sample_rate": config.mixing.sample_rate,
        "classes": planned.classes,
        "config": config.describe("corpus", "mixing"),
    }
    return StoreWriter(path, arrays, _clip_table(planned, events, snr_db), attributes)


def _clip_table(planned: Plan, events: Mapping[str, EventAudio], snr_db: float) -> ClipTable:
    index = {label: i for i, label in enumerate(planned.classes)}
    target = np.zeros((len(planned.mixtures), len(index)), np.uint8)
    surplus_db = {name: event.surplus_db for name, event in events.items()}
    rows = [(i, event) for i, mixture in enumerate(planned.mixtures) for event in mixture.events]
    for i, event in rows:
        target[i, index[event.clip.label]] = 1
    return ClipTable(
        name=[mixture.name for mixture in planned.mixtures],
        target=target,
        fold=np.array([mixture.fold for mixture in planned.mixtures], np.uint8),
        scene=[mixture.scene.name for mixture in planned.mixtures],
        events=EventTable(
            mixture=np.array([i for i, _ in rows], np.int32),
            label=np.array([index[event.clip.label] for _, event in rows], np.int16),
            onset_s=np.array([event.onset_s for _, event in rows], np.float32),
            offset_s=np.array([event.offset_s for _, event in rows], np.float32),
            snr_db=np.array([snr_db + surplus_db[e.clip.name] for _, e in rows], np.float32),
            source=[event.clip.name for _, event in rows],
        ),
    )


def _write_wavs(path: Path, sample_rate: int, n_wavs: int) -> None:
    """The first mixtures of a store as WAV files in a folder beside it."""
    with Store(path, "waveform", "sedmtl mix") as store:
        for row in range(min(n_wavs, len(store))):
            wav_path = path.with_suffix("") / store.clips.name[row]
            audio.write(wav_path, store.read(range(row, row + 1))[0], sample_rate)
