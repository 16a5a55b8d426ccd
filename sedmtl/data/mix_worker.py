"""Work of the `sedmtl mix` workers: decode the event clips once, then render the mixtures.

The audio of the events goes into one file, which both threads and cluster workers can read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sedmtl.config import Mixing
from sedmtl.data import audio
from sedmtl.data.corpora import EventClip
from sedmtl.data.render import EventAudio, render
from sedmtl.runtime.errors import SedmtlError, explained
from sedmtl.runtime.workers.shards import SHARE, Arrays

SAMPLE_BYTES = np.dtype(np.float32).itemsize


class EventSlice(NamedTuple):
    """Position of an event's audio in an `EventFile`, in samples, and its levels.

    Attributes:
        level: As in `render.EventAudio`.
        snr_offset_db: As in `render.EventAudio`.
    """

    first: int
    n_samples: int
    level: float
    snr_offset_db: float


@dataclass(frozen=True)
class EventFile:
    """The decoded audio of all events: float32, one after the other.

    3,710 events of 2 s take 0.95 GB, better kept on disk and in the page cache than on the heap.
    """

    path: Path

    def append(self, samples: audio.Audio) -> None:
        """Append (N,) samples."""
        with explained(f"cannot write {self.path}"), self.path.open("ab") as file:
            file.write(samples.data)

    def read(self, segment: EventSlice) -> EventAudio:
        """Read the audio of one event.

        Raises:
            SedmtlError: The file is too short.
        """
        offset = segment.first * SAMPLE_BYTES
        samples = np.fromfile(self.path, np.float32, segment.n_samples, offset=offset)
        if len(samples) < segment.n_samples:
            raise SedmtlError(f"{self.path} ends too soon: {SHARE}")
        return EventAudio(samples, segment.level)


class MixtureSpec(NamedTuple):
    """The parts of one mixture; small, since it is sent to a worker.

    Attributes:
        onsets: Onset of each event, in samples.
    """

    scene_path: Path
    events: Sequence[EventSlice]
    onsets: Sequence[int]


def decode_events(clips: Sequence[EventClip], mixing: Mixing) -> Arrays:
    """Decode and resample event clips.

    Returns:
        `samples` (N,) float32, all clips concatenated; `n_samples`, `level` and
        `snr_offset_db` (n_clips,), as in `EventSlice`.

    Raises:
        SedmtlError: A clip cannot be read, or is silent.
    """
    events = [decode_event(clip, mixing) for clip in clips]
    return {
        "samples": np.concatenate([event.segment for event in events]),
        "n_samples": np.array([len(event.segment) for event in events]),
        "level": np.array([event.level for event in events]),
        "snr_offset_db": np.array([event.snr_offset_db for event in events]),
    }


def decode_event(clip: EventClip, mixing: Mixing) -> EventAudio:
    """Decode, resample and cut a clip to its first `event_s` seconds; raises as `decode_events`."""
    return cut_event(decode_clip(clip, mixing), 0, mixing)


def decode_clip(clip: EventClip, mixing: Mixing) -> EventAudio:
    """Decode and resample a whole event clip; raises as `decode_events`."""
    waveform = audio.read(clip.path, mixing.sample_rate)
    level = audio.rms(waveform)
    if level == 0:
        raise SedmtlError(f"{clip.path} is silent: expected an event of class '{clip.label}'")
    return EventAudio(waveform, level)


def cut_event(whole: EventAudio, start: int, mixing: Mixing) -> EventAudio:
    """Cut `event_s` seconds, starting at sample `start`, and determine their level."""
    segment = whole.segment[start : start + mixing.n_event_samples]
    heard = audio.rms(segment) if mixing.snr_over == "segment" else 0.0
    # A silent segment has no level; its file's level keeps the mixture finite.
    return EventAudio(segment, heard or whole.level)


def render_block(
    block: Sequence[MixtureSpec],
    segments: EventFile,
    mixing: Mixing,
    snrs_db: Sequence[float],
    stems: bool,
) -> Arrays:
    """Render mixtures at every SNR; each scene is read once for all of them.

    Returns:
        `waveform` (n_snrs, n_mixtures, n_samples) int16 and, with `stems`, `stems`
        (n_snrs, n_mixtures, 2, n_samples) int16 and `event_stems` (n_snrs, n_mixtures, K,
        n_event_samples) int16.

    Raises:
        SedmtlError: A scene cannot be read, or is silent.
    """
    mixtures = []
    for spec in block:
        events = [segments.read(event) for event in spec.events]
        scene = read_scene(spec.scene_path, mixing)
        mixtures.append(render(events, spec.onsets, scene, mixing.n_samples, snrs_db))
    by_snr = list(zip(*mixtures, strict=True))
    arrays = {"waveform": np.array([[each.waveform for each in of_snr] for of_snr in by_snr])}
    if stems:
        arrays["stems"] = np.array([[each.stems for each in of_snr] for of_snr in by_snr])
        n_samples = mixing.n_event_samples
        arrays["event_stems"] = np.array(
            [[each.event_stems(n_samples) for each in of_snr] for of_snr in by_snr]
        )
    return arrays


def read_scene(path: Path, mixing: Mixing) -> audio.Audio:
    """Read the first `duration_s` seconds of a scene.

    Raises:
        SedmtlError: It cannot be read, or is silent.
    """
    waveform = audio.read(path, mixing.sample_rate, duration_s=mixing.duration_s)
    if not audio.rms(waveform):
        raise SedmtlError(
            f"{path} is silent: expected a scene with sound, to set the SNR: replace or remove it"
        )
    return waveform
