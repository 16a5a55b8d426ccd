"""Tables of measurements against stems: decoders and masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from sedmtl.evaluation.differences import names_of
from sedmtl.evaluation.rows import Row
from sedmtl.evaluation.tables import (
    Cells,
    Table,
    class_table,
    network_tables,
    with_legend,
)

BINS = ("audible, dB", "all, dB", "audible, σ", "all, σ")
"""Names of the fields of `Denoising`."""
DENOISING_LEGEND = (
    "Root mean square distance between log-mels; the reference is that of the events without the "
    "scene. A decoder that denoises has 'decoded' below 'noisy'.",
    "noisy: the network's input. decoded: the output of the task denoise, or of the decoder. mean: "
    "the mean spectrum of the training clips. to input: distance of what was decoded from the "
    "input.",
    "audible: bins within 60 dB of the loudest bin of the clean events. all: all bins, with levels "
    "below that limit raised to it. σ: in standard deviations of each mel bin in training.",
)
SOURCES = {
    "mixture": "mixture",
    "oracle": "told",
    "predicted": "heard",
    "timing": "times",
    "ideal": "ideal",
}
"""Columns of the source tables, and the fields of `Separability` that they show."""
SEPARATION_LEGEND = (
    "SI-SDR in dB, mean over sources; a source is one class in one held-out mixture. mixture: of "
    "the mixture itself; the other columns are improvements over it.",
    "oracle: the network's masks with oracle labels, the classes in the mixture. predicted: its "
    "masks with predicted labels, of the classes that it detects; found: the share of sources "
    "whose class it detects.",
    "timing: oracle timing without a mask, the mixture between the true onsets and offsets. ideal: "
    "the ideal ratio mask, the upper limit for any mask.",
    "leak: the energy that the masks of all classes together give to classes that are not in the "
    "mixture, in dB relative to the mixture; lower is better.",
)


def denoising_tables(rows: Iterable[Row]) -> list[Table]:
    """One table per scored data: whether each network's decoder denoises."""
    columns = ("bins", "noisy", "decoded", "mean", "to input")
    about = "does the decoder denoise?"
    return network_tables(rows, about, columns, _denoising_lines, DENOISING_LEGEND, n_left=1)


def _denoising_lines(row: Row) -> list[Cells]:
    return [
        [bins, *(f"{value:.{1 if bins.endswith('dB') else 2}f}" for value in distances)]
        for bins, distances in zip(BINS, row.denoising or (), strict=False)
    ]


def separation_tables(rows: Sequence[Row], per_class: bool) -> list[Table]:
    """One table per scored data: how well masks separate mixtures.

    Args:
        rows: The networks.
        per_class: Whether to add a table of classes for each network.
    """
    about = "source separation"
    tables = network_tables(rows, about, (*SOURCES, "found", "leak"), _separation_lines, ())
    if per_class:
        separated = [row for row in rows if row.separation]
        for row, name in zip(separated, names_of(separated), strict=True):
            assert row.separation is not None
            title = f"{name}, {row.data.title}: {about}"
            tables.append(class_table(row, title, row.separation[1], SOURCES, _db))
    return with_legend(tables, SEPARATION_LEGEND)


def _separation_lines(row: Row) -> list[Cells]:
    if row.separation is None:
        return []
    values, _ = row.separation
    sources = (_db(float(values[key])) for key in SOURCES.values())
    return [[*sources, f"{values['found']:.2f}", _db(float(values["leak"]))]]


def _db(value: float) -> str:
    return "-" if np.isnan(value) else f"{np.round(value, 1) + 0.0:.1f}"  # without -0.0
