"""Additional targets of auxiliary tasks: the events without their scene, and each class alone.

Both are computed from the separate events of a mixture at their level in it, read from a mixture
store with stems or drawn by remixing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sedmtl.logmel import FLOOR, LogMel, n_frames
from sedmtl.store import RowArray, Store

CLEAN = "clean_logmel"
"""Array (T, F) float32 of a feature store: the log-mel of the events without their scene."""

CLASS_MELS = "class_mels"
"""Array (K, T, F) float16 of a feature store: mel magnitudes of each active class alone. Row k
belongs to the k-th class of the clip's target; K is the most events in a clip, and unused rows are
0."""

TARGETS = (CLEAN, CLASS_MELS)


class Placed(NamedTuple):
    """A separate event of a mixture.

    Attributes:
        label: Index of its class.
        onset: Its first sample in the mixture.
        samples: (n,) its amplitudes in the mixture.
    """

    label: int
    onset: int
    samples: Tensor


ReadEvents = Callable[[range], Iterable[Sequence[Placed]]]
"""Rows of a store -> the events of each."""


def target_arrays(n_slots: int, n_frames: int, n_mels: int) -> dict[str, RowArray]:
    """Row shapes of both arrays, for at most `n_slots` events per mixture."""
    return {
        CLEAN: RowArray((n_frames, n_mels), np.float32),
        CLASS_MELS: RowArray((n_slots, n_frames, n_mels), np.float16),
    }


def read_events(rows: range, store: Store) -> Iterator[list[Placed]]:
    """Read the events of rows of a mixture store with `event_stems`; raises as `Store.read`."""
    events, rate = store.clips.events, store.attributes["sample_rate"]
    for row, stems in zip(rows, store.read_audio(rows, "event_stems"), strict=True):
        first, last = np.searchsorted(events.mixture, [row, row + 1])
        columns = (events.label[first:last], events.onset_s[first:last])
        yield [
            Placed(int(label), round(float(onset_s) * rate), torch.from_numpy(stem))
            for label, onset_s, stem in zip(*columns, stems, strict=False)
        ]


def make_targets(
    names: Iterable[str], events: Sequence[Placed], n_samples: int, n_slots: int, front_end: LogMel
) -> dict[str, Tensor]:
    """Compute the named arrays of one mixture of `n_samples`."""
    makers = {
        CLEAN: lambda: clean_logmel(events, n_samples, front_end),
        CLASS_MELS: lambda: class_mels(events, n_samples, n_slots, front_end),
    }
    return {name: makers[name]() for name in names}


def clean_logmel(events: Sequence[Placed], n_samples: int, front_end: LogMel) -> Tensor:
    """Log-mel (T, F) of the sum of events."""
    return torch.log(_mel(events, n_samples, front_end) + FLOOR)


def class_mels(events: Sequence[Placed], n_samples: int, n_slots: int, front_end: LogMel) -> Tensor:
    """Mel magnitudes (K, T, F) float16 of each class, in the order of the classes."""
    labels = sorted({event.label for event in events})
    mels = [
        _mel([event for event in events if event.label == label], n_samples, front_end)
        for label in labels
    ]
    shape = (n_frames(n_samples, front_end.window, front_end.hop), front_end.filters.shape[1])
    made = torch.zeros(n_slots, *shape, dtype=torch.float16, device=front_end.filters.device)
    for slot, mel in zip(made, mels, strict=False):
        slot.copy_(mel)
    return made


def _mel(events: Sequence[Placed], n_samples: int, front_end: LogMel) -> Tensor:
    """Mel magnitudes (T, F) of the sum of events; only frames with events are computed."""
    window, hop, filters = front_end.window, front_end.hop, front_end.filters
    mel = torch.zeros(n_frames(n_samples, window, hop), filters.shape[1], device=filters.device)
    ends = [event.onset + len(event.samples) for event in events]
    first = max(0, (min((event.onset for event in events), default=0) - window) // hop + 1)
    last = min(len(mel), -(-max(ends, default=0) // hop))
    if first >= last:
        return mel
    begin = first * hop
    sound = torch.zeros((last - first - 1) * hop + window, device=filters.device)
    for event in events:
        onset = event.onset - begin
        heard = event.samples[max(0, -onset) : max(0, len(sound) - onset)]
        sound[max(0, onset) : max(0, onset) + len(heard)] += heard
    mel[first:last] = front_end.mel(sound[None])[0]
    return mel
