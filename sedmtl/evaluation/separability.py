"""How well the masks of a run separate mixtures: SI-SDR improvement over the mixture itself.

A source is a class in a held-out mixture; its reference is the stem of the events between the
onsets and offsets of that class. If another class overlaps it, the stem cannot separate the two,
and the source is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sedmtl.data.audio import Audio, conform
from sedmtl.evaluation.stems import Stems
from sedmtl.inference.separation import Separator
from sedmtl.metrics.si_sdr import si_sdr
from sedmtl.runtime.errors import SedmtlError

Decibels = npt.NDArray[np.float64]

LEAST_DB, SILENT = -100.0, 1e-30
"""Lower limit of the leak in dB; energy used in place of 0."""

KINDS = ("mixture", "told", "heard", "times", "ideal")


class Separability(NamedTuple):
    """SI-SDR of every source, in dB.

    Attributes:
        label: (n,) the class of each source.
        mixture: (n,) SI-SDR of the mixture itself; the others are improvements over it.
        told: (n,) of the network's masks with oracle labels, the classes in the mixture.
        heard: (n,) of its masks with predicted labels; NaN for a source that it does not detect.
        times: (n,) of oracle timing: the mixture between the true onsets and offsets, unmasked.
        ideal: (n,) of the ideal ratio mask, the upper limit for any mask.
        n_overlapped: Number of sources left out.
        leak: (m,) for each mixture with a measured source: the energy that the masks of all classes
            assign to absent classes, in dB relative to the mixture; NaN if no class is absent.
    """

    label: npt.NDArray[np.int64]
    mixture: Decibels
    told: Decibels
    heard: Decibels
    times: Decibels
    ideal: Decibels
    n_overlapped: int
    leak: Decibels

    def values(self) -> dict[str, float]:
        """Means over sources, the share of detected sources, and the mean leak."""
        means = {name: _mean(getattr(self, name)) for name in KINDS}
        found = float(np.mean(~np.isnan(self.heard)))
        return means | {"found": found, "leak": _mean(self.leak)}

    def per_class(self, n_classes: int) -> dict[str, list[float]]:
        """Means over the sources of each class; NaN for a class without sources."""
        return {
            name: [_mean(getattr(self, name)[self.label == k]) for k in range(n_classes)]
            for name in KINDS
        }


def _mean(values: Decibels) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


class Sources(NamedTuple):
    """The K sources of one mixture.

    Attributes:
        present: (C,) bool, the classes in the mixture.
        label: (K,) the class of each source.
        stem: (K, N) the reference of each source.
        active: (K, N) bool, where each source is active.
        n_overlapped: Number of further sources that overlap with another class.
    """

    present: npt.NDArray[np.bool_]
    label: npt.NDArray[np.int64]
    stem: Audio
    active: npt.NDArray[np.bool_]
    n_overlapped: int


def sources_of(stems: Stems, sample_rate: int, n_classes: int) -> Sources:
    """The sources of a mixture according to its strong labels.

    Silent sources are left out, and so is one that makes up the whole mixture.
    """
    labels, which = np.unique(stems.truth.label, return_inverse=True)
    active = np.zeros((len(labels), len(stems.events)), np.bool_)
    edges_s = np.stack([stems.truth.onset_s, stems.truth.offset_s], axis=1).astype(np.float64)
    for row, (onset, offset) in zip(which, np.rint(edges_s * sample_rate).astype(int), strict=True):
        active[row, onset:offset] = True
    overlapped = (active & (active.sum(axis=0) > 1)).any(axis=1)
    stem = stems.events * active
    kept = ~overlapped & stem.any(axis=1) & (stems.mixture - stem).any(axis=1)
    return Sources(
        present=np.isin(np.arange(n_classes), labels),
        label=labels[kept].astype(np.int64),
        stem=stem[kept],
        active=active[kept],
        n_overlapped=int(overlapped.sum()),
    )


def measure(separator: Separator, fold: Iterable[Stems]) -> Separability:
    """Measure the masks of a run on its held-out mixtures.

    Raises:
        SedmtlError: No source can be measured: all are overlapped, silent or alone.
    """
    labels, columns, leaks, n_overlapped, card = [], [], [], 0, separator.card
    for stems in fold:
        sources = sources_of(stems, card.sample_rate, len(card.classes))
        n_overlapped += sources.n_overlapped
        if len(sources.label):
            labels.append(sources.label)
            measured, leak = _measure_clip(separator, stems.mixture, sources)
            columns.append(measured)
            leaks.append(leak)
    if not labels:
        raise SedmtlError(
            f"cannot measure separation: of the sources in the held-out mixtures, {n_overlapped} "
            "overlap with another class and the others are silent or alone"
        )
    mixture, told, heard, times, ideal = np.hstack(columns)
    return Separability(
        np.concatenate(labels), mixture, told, heard, times, ideal, n_overlapped, np.array(leaks)
    )


def _measure_clip(separator: Separator, mixture: Audio, sources: Sources) -> tuple[Decibels, float]:
    """A row per kind in `KINDS` with a column per source (K), and the leak."""
    clip, mask = separator.listen(conform(mixture, len(mixture)))
    told = separator.separate(mixture, mask, sources.present)
    heard = separator.separate(mixture, mask, separator.detected(clip))
    everything = separator.separate(mixture, mask, np.ones_like(sources.present))
    ideal = separator.stft.separate_ideally(sources.stem, mixture - sources.stem)
    estimates = (told[sources.label], heard[sources.label], mixture * sources.active, ideal)
    before = si_sdr(sources.stem, np.broadcast_to(mixture, sources.stem.shape))
    # The estimate of an undetected class is silent and has no SI-SDR.
    rows = np.stack([before, *(si_sdr(sources.stem, each) - before for each in estimates)])
    return rows, _relative_db(everything[~sources.present], mixture)


def _relative_db(leaked: Audio, mixture: Audio) -> float:
    if not len(leaked):
        return np.nan
    leaked_energy, energy = (np.square(each, dtype=np.float64).sum() for each in (leaked, mixture))
    return float(max(10 * np.log10(max(leaked_energy, SILENT) / energy), LEAST_DB))
