"""Mixtures whose parts are known: those of one fold, one at a time, from a store with stems."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.data.audio import Audio
from sedmtl.inference.checkpoint import ModelCard
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import EventTable, Store


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


def read_fold(
    path: Path, fold: int, card: ModelCard, target: npt.NDArray[np.uint8]
) -> Iterator[Stems]:
    """Read the mixtures that a run has not heard.

    Args:
        path: A mixture store.
        fold: The fold that the run held out.
        card: Of the run.
        target: (n, C), the weak labels of that fold as the run knows them.

    Raises:
        SedmtlError: There is no such store, it has no stems, or it is of another plan.
    """
    with Store(path, "stems", "waveform") as store:
        rows = np.flatnonzero(store.clips.fold == fold)
        found = (tuple(store.classes), store.row_shape[-1], store.attributes["sample_rate"])
        same = found == (card.classes, card.n_samples, card.sample_rate)
        if not same or not np.array_equal(store.clips.target[rows], target):
            raise SedmtlError(
                f"{path} is of another plan than the run: its fold {fold} should hold the "
                f"{len(target)} mixtures that the run was not trained on; make it with the same "
                "data.yaml"
            )
        for row in rows:
            clip = range(row, row + 1)
            yield Stems(
                mixture=store.read_audio(clip, "waveform")[0],
                events=store.read_audio(clip, "stems")[0, 0],
                truth=store.clips.events.of_clips(np.array([row])),
            )
