"""What was measured on mixtures whose stems are known, averaged over folds: as sheets and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sedmtl.evaluation.aggregate import Row, by_data
from sedmtl.evaluation.denoising import Denoising, Distances
from sedmtl.evaluation.separability import KINDS, Separability
from sedmtl.evaluation.stem_scores import Measured
from sedmtl.evaluation.tables import Sheet, full_name

LABELS = ("audible, dB", "all, dB", "audible, σ", "all, σ")
"""Of the fields of `Denoising`."""
DENOISING_LEGEND = (
    "Root mean square distance of log-mels to that of the events without the scene. A denoiser "
    "has decoded below noisy.",
    "noisy: the network's input. decoded: the decoder's output. mean: the training clips' mean "
    "spectrum. to input: of the decoder's output to its own input.",
    "audible: over bins within 60 dB of the loudest of the clean events. all: over all bins, with "
    "what is below lifted to that limit. σ: in standard deviations of each mel bin in training.",
)
SEPARATION_LEGEND = (
    "SI-SDR in dB, mean over sources: a class in a held-out mixture. mixture: as it is; the others "
    "are improvements over it.",
    "told: by masks, knowing which classes the mixture has. heard: by masks of the classes that "
    "the network hears itself, over the found share of sources.",
    "times: by the true onsets and offsets alone. ideal: by the ideal ratio mask, the ceiling.",
)


def denoising_sheets(rows: Sequence[Row], measured: Measured) -> list[Sheet]:
    """A sheet a store: whether the decoder of each network is a denoiser."""
    columns = ("network", "α", "folds", "bins", "noisy", "decoded", "mean", "to input")
    sheets = []
    for title, group in _by_store(rows):
        lines = [line for row in group for line in _denoising_lines(row, measured)]
        sheets.append(Sheet(f"{title}: is the decoder a denoiser?", columns, lines, n_left=4))
    return _with_legend([sheet for sheet in sheets if sheet.rows], DENOISING_LEGEND)


def separation_sheets(rows: Sequence[Row], measured: Measured, per_class: bool) -> list[Sheet]:
    """A sheet a store: how well each network's masks take mixtures apart; and of its classes."""
    columns = ("network", "α", "folds", *KINDS, "found")
    sheets = []
    for title, group in _by_store(rows):
        lines = [line for row in group for line in _separation_lines(row, measured)]
        sheets.append(Sheet(f"{title}: sources", columns, lines, n_left=3))
        if per_class:
            sheets += [_class_sheet(row, measured) for row in group]
    return _with_legend([sheet for sheet in sheets if sheet.rows], SEPARATION_LEGEND)


def as_json(row: Row, measured: Measured) -> dict[str, Any]:
    """The further keys of a row in `eval --json`: `denoising`, `separation`."""
    data: dict[str, Any] = {}
    if row.selection != "honest":
        return data
    if (denoising := _denoising(row, measured)) is not None:
        data["denoising"] = {
            name: distances._asdict() for name, distances in denoising._asdict().items()
        }
    if (values := _separation(row, measured)) is not None:
        classes = {
            name: dict(zip(row.classes, map(_or_null, per_class), strict=True))
            for name, per_class in _per_class(row, measured).items()
        }
        means = {name: _or_null(value) for name, value in values.items()}
        data["separation"] = {**means, "per_class": classes}
    return data


def _by_store(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """What the decoder and the masks are of is the network of the honest selection."""
    for data, group in by_data(row for row in rows if row.selection == "honest"):
        yield data.title, group


def _denoising(row: Row, measured: Measured) -> Denoising | None:
    """The mean over the folds of a row."""
    runs = [measured[name] for name in row.runs if name in measured]
    folds = [run.denoising for run in runs if run.denoising is not None]
    if not folds:
        return None
    means = np.mean(folds, axis=0)  # (4, 4)
    return Denoising(*(Distances(*map(float, each)) for each in means))


def _separation(row: Row, measured: Measured) -> dict[str, float] | None:
    folds = [each.values() for each in _separabilities(row, measured)]
    return {name: float(_mean([f[name] for f in folds])) for name in folds[0]} if folds else None


def _per_class(row: Row, measured: Measured) -> dict[str, npt.NDArray[np.float64]]:
    folds = [each.per_class(len(row.classes)) for each in _separabilities(row, measured)]
    return {name: _mean([fold[name] for fold in folds]) for name in KINDS}


def _separabilities(row: Row, measured: Measured) -> list[Separability]:
    runs = [measured[name] for name in row.runs if name in measured]
    return [run.separability for run in runs if run.separability is not None]


def _mean(folds: Sequence[npt.ArrayLike]) -> npt.NDArray[np.float64]:
    """Over the folds in which there is a value; NaN where there is none."""
    values = np.array(folds, np.float64)
    values = np.ma.masked_where(np.isnan(values), values)
    mean: npt.NDArray[np.float64] = np.ma.filled(values.mean(axis=0), np.nan)
    return mean


def _denoising_lines(row: Row, measured: Measured) -> list[list[str]]:
    """Four lines of a network; none if its decoder was not measured."""
    denoising = _denoising(row, measured)
    if denoising is None:
        return []
    heads = [*_heads(row), [""] * 3, [""] * 3]
    lines = []
    for head, label, distances in zip(heads, LABELS, denoising, strict=True):
        digits = 1 if label.endswith("dB") else 2
        lines.append([*head, label, *(f"{value:.{digits}f}" for value in distances)])
    return lines


def _separation_lines(row: Row, measured: Measured) -> list[list[str]]:
    """One line, and what is special about the network below it; none if it was not measured."""
    values = _separation(row, measured)
    if values is None:
        return []
    head, below = _heads(row)
    line = [*head, *(_db(values[name]) for name in KINDS), f"{values['found']:.2f}"]
    return [line, [*below, *[""] * (len(KINDS) + 1)]] if any(below) else [line]


def _class_sheet(row: Row, measured: Measured) -> Sheet:
    """Without lines if the network was not measured."""
    measured_at_all = _separation(row, measured) is not None
    values = _per_class(row, measured) if measured_at_all else {}
    labels = row.classes if measured_at_all else ()
    lines = [[label, *(_db(values[k][i]) for k in KINDS)] for i, label in enumerate(labels)]
    title = f"{full_name(row)}, {row.data.title}: sources by class"
    return Sheet(title, ("class", *KINDS), lines)


def _with_legend(sheets: list[Sheet], legend: Sequence[str]) -> list[Sheet]:
    """Below the last sheet."""
    if sheets:
        sheets[-1] = Sheet(**{**vars(sheets[-1]), "notes": legend})
    return sheets


def _heads(row: Row) -> tuple[list[str], list[str]]:
    """The first cells of the first line of a network, and of the line below it."""
    name, _, variant = full_name(row).partition(" ")
    folds = ",".join(map(str, row.folds))
    return [name, str(row.recipe["alpha"]), folds], [f"  {variant}" if variant else "", "", ""]


def _db(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1f}"


def _or_null(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
