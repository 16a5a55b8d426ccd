"""The mixtures of one fold and their stems, read from a store one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sedmtl.data.audio import Audio
from sedmtl.inference.model_card import ModelCard
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import EventTable, HeldOutScores, Store

WHEN = ("mixture", "label", "onset_s", "offset_s")
"""Columns of an event table with the mixture, class and times."""


class Stems(NamedTuple):
    """A mixture and its stem, at the level of the features.

    Attributes:
        mixture: (N,) float32: exactly the events plus the scene.
        events: (N,) float32: all events without the scene.
        truth: Classes and times of the events, with the mixture as row 0.
    """

    mixture: Audio
    events: Audio
    truth: EventTable


def read_fold(path: Path, fold: int, card: ModelCard, scores: HeldOutScores) -> Iterator[Stems]:
    """Read the held-out mixtures of a run from a mixture store.

    Raises:
        SedmtlError: There is no such store, it has no stems, or it follows another plan.
    """
    with Store(path, "stems", "waveform") as store:
        rows = np.flatnonzero(store.clips.fold == fold)
        found = (tuple(store.classes), store.row_shape[-1], store.attributes["sample_rate"])
        same = found == (card.classes, card.n_samples, card.sample_rate)
        events = store.clips.events.of_clips(rows)
        labels = [(store.clips.target[rows], scores.target)]
        labels += [(getattr(events, key), getattr(scores.events, key)) for key in WHEN]
        if not same or not all(np.array_equal(*pair) for pair in labels):
            raise SedmtlError(
                f"{path} follows another plan than the run: expected the {len(scores.target)} "
                f"mixtures that the run held out in its fold {fold}; make it with the same "
                "data.yaml"
            )
        for row in rows:
            clip = range(row, row + 1)
            yield Stems(
                mixture=store.read_audio(clip, "waveform")[0],
                events=store.read_audio(clip, "stems")[0, 0],
                truth=store.clips.events.of_clips(np.array([row])),
            )
