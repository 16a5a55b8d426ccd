"""Audio from which training draws new mixtures, decoded once into a memory-mapped file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from sedmtl.config import Config, EventPart, Mixing
from sedmtl.data import audio
from sedmtl.data.corpora import EventClip, Scene
from sedmtl.data.mix_worker import cut_event, decode_clip, read_scene
from sedmtl.data.plan import Plan
from sedmtl.data.render import EventAudio
from sedmtl.runtime import disk_space, progress
from sedmtl.runtime.atomic import write_text
from sedmtl.runtime.documents import parse_json
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.lock import folder_lock
from sedmtl.runtime.origin import Origin, stamp_of
from sedmtl.runtime.regular import open_own, read_bytes, require_own, require_readable
from sedmtl.runtime.workers.threads import all_cores, map_in_order, threads
from sedmtl.store import FULL_SCALE

PROTOCOL = 2
"""Raise it when the same audio would be decoded to different samples: the file is then rebuilt."""

STEP_S = 0.1
"""Seconds between the starts of two consecutive parts of a clip."""

LEAST_LEVEL = 0.5
"""Lowest RMS of a part, relative to that of its whole clip: a quieter part may be a pause."""

Samples = npt.NDArray[np.int16]
Item = TypeVar("Item")


class Source(NamedTuple):
    """The audio of a scene, or of an event, which is a part of its clip.

    Attributes:
        first: First sample in the file.
        n_samples: Length.
        gain: Factor that scales the samples to level 1: the RMS of a scene, or the level of an
            event that SNRs refer to (`render.EventAudio`).
    """

    first: int
    n_samples: int
    gain: float


@dataclass(frozen=True)
class Sources:
    """All events and scenes of the pools of a plan.

    Attributes:
        samples: (N,) content of the file; each clip and scene is scaled to the int16 range.
        events: The parts of each clip that may be drawn, by clip name.
        scenes: The scenes by name, each as long as a mixture.
        digest: SHA-256 of everything that a mixture can depend on.
    """

    samples: Samples
    events: Mapping[str, Sequence[Source]]
    scenes: Mapping[str, Source]
    digest: str


def planned_bytes(config: Config, planned: Plan, event_part: EventPart) -> int:
    """Size of the samples of `open_sources`, from the headers of the audio files.

    Raises:
        SedmtlError: A file cannot be read.
    """
    return _Sounds(*_pooled(planned), config.mixing).n_bytes(event_part)


def _pooled(planned: Plan) -> tuple[list[EventClip], list[Scene]]:
    """All event clips and scenes of the pools, each once."""
    clips = {clip.name: clip for pool in planned.pools for clip in pool.clips}
    scenes = {scene.name: scene for pool in planned.pools for scene in pool.scenes}
    return list(clips.values()), list(scenes.values())


def open_sources(config: Config, planned: Plan, event_part: EventPart = "any") -> Sources:
    """Open the sources of a plan, decoding them first unless the file is current.

    Args:
        config: The project.
        planned: Its plan.
        event_part: Parts of an event clip that may be drawn.

    Raises:
        SedmtlError: A file cannot be read or is silent, or the disk is too small.
    """
    folder = config.work_dir / "sources"
    sounds = _Sounds(*_pooled(planned), config.mixing)
    origin = _origin(sounds, event_part)
    sources = _read(folder, origin)
    if sources is None:
        # Parallel processes and runs may all get here, but only one decodes.
        with folder_lock(folder, "sedmtl train --remix", wait=True):
            sources = _read(folder, origin)
            if sources is None:
                _write(folder, sounds, event_part, origin)
                sources = _read(folder, origin)
    if sources is None:
        raise SedmtlError(f"{folder} was changed while it was being written: try again")
    return sources


def _origin(sounds: _Sounds, event_part: EventPart) -> Origin:
    parts, mixing = (sounds.clips, sounds.scenes), sounds.mixing
    keys = {"sample_rate", "duration_s", "event_s", "snr_over"}
    each_name = json.dumps([[each.name for each in part] for part in parts])
    names = hashlib.sha256(each_name.encode()).hexdigest()
    stamp = stamp_of(each.path for part in parts for each in part)
    made = {"protocol": PROTOCOL, "names": names, "stamp": stamp, "event_part": event_part}
    return Origin({**made, **mixing.model_dump(include=keys)})


def _read(folder: Path, origin: Origin) -> Sources | None:
    """Read what `_write` wrote; None if it is missing, damaged or made from something else."""
    try:
        index = parse_json(read_bytes(folder / "index.json"))
        if not Origin(index["origin"]).is_current(origin):
            return None
        events, scenes = (
            {name: [Source(*each) for each in parts] for name, parts in index[kind].items()}
            for kind in ("events", "scenes")
        )
        require_readable(folder / "audio.int16")
        # Copy on write: torch expects writable memory.
        samples = np.memmap(folder / "audio.int16", np.int16, "c")
        # Hashing, at a gigabyte per second, also loads the file into the page cache.
        digest = hashlib.sha256(samples.data)
        if _finish(digest, index) != index["digest"]:
            return None
        whole = {name: parts[0] for name, parts in scenes.items()}
        return Sources(samples, events, whole, index["digest"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None


class _Sounds(NamedTuple):
    clips: Sequence[EventClip]
    scenes: Sequence[Scene]
    mixing: Mixing

    def n_bytes(self, event_part: EventPart) -> int:
        """Size of all of them in the file."""
        longest_s = self.mixing.event_s if event_part == "first" else np.inf
        infos = audio.probe_all([clip.path for clip in self.clips])
        events_s = sum(min(info.duration_s, longest_s) for info in infos)
        return 2 * (
            round(events_s * self.mixing.sample_rate) + len(self.scenes) * self.mixing.n_samples
        )


def _write(folder: Path, sounds: _Sounds, event_part: EventPart, origin: Origin) -> None:
    clips, scenes, mixing = sounds
    what = f"{len(clips):,} event clips and {len(scenes):,} scenes"
    disk_space.announce(what, sounds.n_bytes(event_part), folder)
    partial_path = folder / ".audio.int16.part"
    decode_event = partial(_decode_event, mixing=mixing, event_part=event_part)
    decoded = [
        ("events", [clip.name for clip in clips], _each(decode_event, clips)),
        ("scenes", [each.name for each in scenes], _each(partial(_decode_scene, mixing), scenes)),
    ]
    digest, first = hashlib.sha256(), 0
    index: dict[str, Any] = {"origin": origin.decides}
    try:
        with (
            open_own(partial_path, "wb") as file,
            progress.progress("reading sources", len(clips) + len(scenes)) as advance,
        ):
            for kind, names, each_decoded in decoded:
                index[kind] = {}
                for name, (samples, parts) in zip(names, each_decoded, strict=True):
                    file.write(samples.data)
                    digest.update(samples.data)
                    index[kind][name] = [(first + part.first, *part[1:]) for part in parts]
                    first += len(samples)
                    advance(1)
        # The index is written last: without it, the audio counts as missing.
        (folder / "index.json").unlink(missing_ok=True)
        require_own(folder / "audio.int16", alone=False)
        partial_path.replace(folder / "audio.int16")
    except OSError as error:
        where = error.filename or folder
        raise SedmtlError(f"cannot write {where}: {error.strerror}") from error
    write_text(folder / "index.json", json.dumps({**index, "digest": _finish(digest, index)}))


def _finish(digest: Any, index: Mapping[str, Any]) -> str:
    """Finish the digest: samples, and position and gain of each source."""
    digest.update(json.dumps([index["events"], index["scenes"]]).encode())
    return str(digest.hexdigest())


def _each(
    decode: Callable[[Item], tuple[Samples, list[Source]]], items: Sequence[Item]
) -> Iterator[tuple[Samples, list[Source]]]:
    """Decode in threads, in order."""
    with threads(all_cores()) as workers:
        yield from map_in_order(decode, items, workers)


def _decode_event(
    clip: EventClip, mixing: Mixing, event_part: EventPart
) -> tuple[Samples, list[Source]]:
    """Samples of a clip as stored, and the parts of it that may be drawn."""
    whole = decode_clip(clip, mixing)
    starts = _starts(whole, mixing) if event_part == "any" else [0]
    events = [cut_event(whole, start, mixing) for start in starts]
    kept = whole.segment if event_part == "any" else events[0].segment
    samples, scale = _quantise(kept)
    return samples, [
        Source(start, len(event.segment), scale / event.level)
        for start, event in zip(starts, events, strict=True)
    ]


def _starts(whole: EventAudio, mixing: Mixing) -> list[int]:
    """Starts of the parts of `event_s` seconds that are not much quieter than the whole clip."""
    waveform = whole.segment
    n_samples, step = mixing.n_event_samples, round(STEP_S * mixing.sample_rate)
    starts = np.arange(0, max(1, len(waveform) - n_samples + 1), max(1, step))
    energy = np.concatenate([[0], np.cumsum(np.square(waveform, dtype=np.float64))])
    power = (energy[np.minimum(starts + n_samples, len(waveform))] - energy[starts]) / n_samples
    is_loud = power >= (LEAST_LEVEL * whole.level) ** 2
    return [int(start) for start in starts[is_loud]] or [0]


def _decode_scene(mixing: Mixing, scene: Scene) -> tuple[Samples, list[Source]]:
    waveform = audio.cut_or_repeat(read_scene(scene.path, mixing), mixing.n_samples)
    samples, scale = _quantise(waveform)
    return samples, [Source(0, len(samples), scale / audio.rms(waveform))]


def _quantise(waveform: audio.Audio) -> tuple[Samples, float]:
    """Scale to the int16 range; returns the samples and the scale that undoes it, 0 for silence."""
    peak = float(np.abs(waveform).max())
    if peak < audio.QUIETEST:
        return np.zeros(len(waveform), np.int16), 0.0
    samples = np.rint(waveform * np.float32(FULL_SCALE / peak)).astype(np.int16)
    return samples, peak / FULL_SCALE
