"""The audio that training draws new mixtures from: decoded once, into one memory-mapped file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from sedmtl.config import Config, Mixing
from sedmtl.data import audio
from sedmtl.data.corpora import EventClip, Scene
from sedmtl.data.mix_worker import decode_event, read_scene
from sedmtl.data.plan import Plan
from sedmtl.runtime import disk_space, progress
from sedmtl.runtime.atomic import write_text
from sedmtl.runtime.documents import parse_json
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.lock import folder_lock
from sedmtl.runtime.origin import Origin, stamp_of
from sedmtl.runtime.workers.threads import all_cores, map_in_order, threads
from sedmtl.store import FULL_SCALE

PROTOCOL = 1
"""Raise it when the same audio would be decoded to other samples: the file is then made anew."""

Samples = npt.NDArray[np.int16]
Item = TypeVar("Item")


class Source(NamedTuple):
    """The audio of an event or a scene.

    Attributes:
        first: First sample in the file.
        n_samples: Length.
        gain: Samples times gain have level 1: the RMS of a scene, the level of an event that SNRs
            refer to (`render.EventAudio`).
    """

    first: int
    n_samples: int
    gain: float


@dataclass(frozen=True)
class Sources:
    """All events and scenes of the pools of a plan.

    Attributes:
        samples: (N,) in the file. Each source is scaled to the peak of int16, which is at least
            twice as fine as the rounding of the mixture that it becomes half of.
        events: By the name of their clip.
        scenes: By name, each as long as a mixture.
        digest: SHA-256 of what a mixture can depend on.
    """

    samples: Samples
    events: Mapping[str, Source]
    scenes: Mapping[str, Source]
    digest: str


def open_sources(config: Config, planned: Plan) -> Sources:
    """Open the sources of a plan; decode them first unless the file is current.

    Raises:
        SedmtlError: A file cannot be read or is silent, or the disk is too small.
    """
    folder = config.work_dir / "sources"
    clips = {clip.name: clip for pool in planned.pools for clip in pool.clips}
    scenes = {scene.name: scene for pool in planned.pools for scene in pool.scenes}
    origin = _origin(clips, scenes, config.mixing)
    sources = _read(folder, origin)
    if sources is None:
        # Processes that train together, or runs side by side, all come here: one decodes.
        with folder_lock(folder, "sedmtl train --remix", wait=True):
            sources = _read(folder, origin)
            if sources is None:
                _write(folder, list(clips.values()), list(scenes.values()), config.mixing, origin)
                sources = _read(folder, origin)
    if sources is None:
        raise SedmtlError(f"{folder} was changed while it was being written: try again")
    return sources


def _origin(clips: Mapping[str, EventClip], scenes: Mapping[str, Scene], mixing: Mixing) -> Origin:
    keys = {"sample_rate", "duration_s", "event_s", "snr_over"}
    names = hashlib.sha256(json.dumps([[*clips], [*scenes]]).encode()).hexdigest()
    stamp = stamp_of(each.path for part in (clips, scenes) for each in part.values())
    return Origin(
        {"protocol": PROTOCOL, "names": names, "stamp": stamp, **mixing.model_dump(include=keys)}
    )


def _read(folder: Path, origin: Origin) -> Sources | None:
    """What `_write` wrote; None if it is missing, damaged or made from something else."""
    try:
        index = parse_json((folder / "index.json").read_bytes())
        if not Origin(index["origin"]).is_current(origin):
            return None
        events, scenes = (
            {name: Source(*values) for name, values in index[part].items()}
            for part in ("events", "scenes")
        )
        n_samples = sum(source.n_samples for part in (events, scenes) for source in part.values())
        # Copy on write: torch wants memory that it could write into.
        samples = np.memmap(folder / "audio.int16", np.int16, "c", shape=(n_samples,))
        # Read once, a gigabyte per second, it is also in the page cache when it is drawn from.
        digest = hashlib.sha256(samples.data)
        if _finish(digest, index) != index["digest"]:
            return None
        return Sources(samples, events, scenes, index["digest"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write(
    folder: Path,
    clips: Sequence[EventClip],
    scenes: Sequence[Scene],
    mixing: Mixing,
    origin: Origin,
) -> None:
    n_bytes = 2 * len(scenes) * mixing.n_samples
    n_bytes += 2 * len(clips) * round(mixing.event_s * mixing.sample_rate)
    disk_space.announce(f"{len(clips):,} event clips and {len(scenes):,} scenes", n_bytes, folder)
    partial_path = folder / ".audio.int16.part"
    decoded = [
        ("events", [clip.name for clip in clips], _each(_decode_event, clips, mixing)),
        ("scenes", [scene.name for scene in scenes], _each(_decode_scene, scenes, mixing)),
    ]
    digest, first = hashlib.sha256(), 0
    index: dict[str, Any] = {"origin": origin.decides}
    try:
        with (
            partial_path.open("wb") as file,
            progress.progress("reading sources", len(clips) + len(scenes)) as advance,
        ):
            for part, names, sounds in decoded:
                index[part] = {}
                for name, (samples, gain) in zip(names, sounds, strict=True):
                    file.write(samples.data)
                    digest.update(samples.data)
                    index[part][name] = (first, len(samples), gain)
                    first += len(samples)
                    advance(1)
        # The index goes last: without it, the audio counts as missing.
        (folder / "index.json").unlink(missing_ok=True)
        partial_path.replace(folder / "audio.int16")
    except OSError as error:
        raise SedmtlError(f"cannot write {folder}: {error.strerror}") from error
    write_text(folder / "index.json", json.dumps({**index, "digest": _finish(digest, index)}))


def _finish(digest: Any, index: Mapping[str, Any]) -> str:
    """The digest of the samples, and of where and how loud each source is."""
    digest.update(json.dumps([index["events"], index["scenes"]]).encode())
    return str(digest.hexdigest())


def _each(decode: Any, items: Sequence[Item], mixing: Mixing) -> Iterator[tuple[Samples, float]]:
    """Decode in threads, in order."""
    with threads(all_cores()) as workers:
        yield from map_in_order(partial(decode, mixing=mixing), items, workers)


def _decode_event(clip: EventClip, mixing: Mixing) -> tuple[Samples, float]:
    event = decode_event(clip, mixing)
    return _quantise(event.segment, event.level)


def _decode_scene(scene: Scene, mixing: Mixing) -> tuple[Samples, float]:
    waveform = audio.cut_or_repeat(read_scene(scene.path, mixing), mixing.n_samples)
    return _quantise(waveform, audio.rms(waveform))


def _quantise(waveform: audio.Audio, level: float) -> tuple[Samples, float]:
    """Scaled to the peak of int16, and the gain that gives it level 1; silence has gain 0."""
    peak = float(np.abs(waveform).max())
    if peak < audio.QUIETEST:
        return np.zeros(len(waveform), np.int16), 0.0
    samples = np.rint(waveform * np.float32(FULL_SCALE / peak)).astype(np.int16)
    return samples, peak / FULL_SCALE / level
