"""Mixtures whose parts are known: those of one fold, one at a time, from a store with stems."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sedmtl.data.audio import Audio
from sedmtl.inference.checkpoint import ModelCard
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import EventTable, HeldOutScores, Store

WHEN = ("mixture", "label", "onset_s", "offset_s")
"""The columns of a table of events that say which class sounds when."""


class Stems(NamedTuple):
    """A mixture and its parts, at the level that features are made at.

    Attributes:
        mixture: (N,) float32: the events and the scene, to the last bit.
        events: (N,) float32: all events without the scene.
        truth: When which class sounds; the only mixture is row 0.
    """

    mixture: Audio
    events: Audio
    truth: EventTable


def read_fold(path: Path, fold: int, card: ModelCard, scores: HeldOutScores) -> Iterator[Stems]:
    """Read the mixtures that a run held out.

    Args:
        path: A mixture store.
        fold: The fold that the run held out.
        card: Of the run.
        scores: Of the run; their labels tell whether the mixtures are those that were scored.

    Raises:
        SedmtlError: There is no such store, it has no stems, or it is of another plan.
    """
    with Store(path, "stems", "waveform") as store:
        rows = np.flatnonzero(store.clips.fold == fold)
        found = (tuple(store.classes), store.row_shape[-1], store.attributes["sample_rate"])
        same = found == (card.classes, card.n_samples, card.sample_rate)
        events = store.clips.events.of_clips(rows)
        labels = [(store.clips.target[rows], scores.target)]
        labels += [(getattr(events, key), getattr(scores.events, key)) for key in WHEN]
        if not same or not all(np.array_equal(now, scored) for now, scored in labels):
            raise SedmtlError(
                f"{path} is of another plan than the run: its fold {fold} should hold the "
                f"{len(scores.target)} mixtures that the run was not trained on; make it with the "
                "same data.yaml"
            )
        for row in rows:
            clip = range(row, row + 1)
            yield Stems(
                mixture=store.read_audio(clip, "waveform")[0],
                events=store.read_audio(clip, "stems")[0, 0],
                truth=store.clips.events.of_clips(np.array([row])),
            )
