"""Rendering of one mixture from the audio of its events and scene, at each SNR; no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.data.audio import Audio, cut_or_repeat, rms
from sedmtl.store import FULL_SCALE

PROTOCOL = 1
"""Raise it when the same plan would be rendered to different samples: stores are then rebuilt."""


class EventAudio(NamedTuple):
    """The audio of an event, and the level used to scale it.

    Attributes:
        segment: (n,) float32, a part of the clip; in stores its first `event_s` seconds.
        level: The RMS that the SNR refers to: that of the whole file (`snr_over: file`) or of the
            segment (`snr_over: segment`).
    """

    segment: Audio
    level: float

    @property
    def snr_offset_db(self) -> float:
        """Realised minus nominal SNR; -inf for a silent segment.

        The realised SNR is the RMS of the segment over the RMS of the whole scene.
        """
        level = rms(self.segment)
        return 20 * float(np.log10(level / self.level)) if level > 0 else -np.inf


@dataclass(frozen=True)
class Rendered:
    """A mixture at one SNR.

    Attributes:
        waveform: (n_samples,) int16; amplitude = value / 32767.
        event_part: (n_samples,) float32, contribution of the events, before rounding.
        segments: Audio of each event from its onset, before scaling.
        gain: Factor that scales a segment to its contribution to the waveform.
    """

    waveform: npt.NDArray[np.int16]
    event_part: Audio
    segments: Sequence[Audio]
    gain: np.float32

    @property
    def stems(self) -> npt.NDArray[np.int16]:
        """(2, n_samples): events, scene. They sum to the waveform exactly."""
        events = np.rint(self.event_part).astype(np.int16)
        return np.stack([events, self.waveform - events])

    def event_stems(self, n_samples: int) -> npt.NDArray[np.int16]:
        """(K, n_samples): each event alone, starting at its onset and padded with zeros."""
        stems = np.zeros((len(self.segments), n_samples), np.int16)
        for stem, segment in zip(stems, self.segments, strict=True):
            stem[: len(segment)] = np.rint(segment * self.gain)
        return stems


def render(
    events: Sequence[EventAudio],
    onsets: Sequence[int],
    scene: Audio,
    n_samples: int,
    snrs_db: Sequence[float],
) -> Iterator[Rendered]:
    """Render one mixture at each SNR.

    The scene is scaled to RMS 1 and each event to RMS 10^(snr/20); the mixture is
    (events + scene) / (2 max(|events|, |scene|)), so that nothing clips.

    Args:
        events: The events, with levels above 0.
        onsets: Onset of each event, in samples.
        scene: A scene that is not silent; cut, or repeated if it is too short.
        n_samples: Length of the mixture.
        snrs_db: The nominal SNRs.
    """
    scene = cut_or_repeat(scene, n_samples)
    scene = scene / np.float32(rms(scene))
    unit_events = np.zeros(n_samples, np.float32)
    segments = [
        event.segment[: n_samples - onset] / np.float32(event.level)
        for event, onset in zip(events, onsets, strict=True)
    ]
    for segment, onset in zip(segments, onsets, strict=True):
        unit_events[onset : onset + len(segment)] += segment
    event_peak, scene_peak = _peak(unit_events), _peak(scene)
    for snr_db in snrs_db:
        gain = 10 ** (snr_db / 20)
        scale = FULL_SCALE / (2 * max(gain * event_peak, scene_peak))
        event_gain = np.float32(gain * scale)
        event_part = unit_events * event_gain
        # In place: arrays of 10 s exceed the processor's cache, so each new one is slow.
        mixture = scene * np.float32(scale)
        mixture += event_part
        waveform = np.rint(mixture, out=mixture).astype(np.int16)
        yield Rendered(waveform, event_part, segments, event_gain)


def _peak(waveform: Audio) -> float:
    return float(max(waveform.max(), -waveform.min()))
