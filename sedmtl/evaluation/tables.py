"""Results as sheets of text cells: what a terminal and a Markdown file both show. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sedmtl.evaluation import paper
from sedmtl.evaluation.aggregate import RECORDED, Average, Row, by_data
from sedmtl.training.config import TrainConfig

COLUMNS = ("network", "α", "folds", "chosen", "micro-P", "macro-P", "AUC", "scored")
LEGEND = (
    "Means over the held-out folds named, ± standard deviation over folds; 95 %: of 500 draws of "
    "the clips.",
    "honest: the epoch was chosen on an inner part of the training folds.",
    "paper: the best epoch on the held-out fold itself, as in the paper; optimistic.",
    "frequencies: always answering how often each class occurs in training.",
    "scored: classes with a positive in every fold's held-out clips / all classes.",
)
LOCALISATION = {
    "PSDS1": "psds1",
    "PSDS2": "psds2",
    "collar": "collar_f1_macro",
    "segment": "segment_f1_macro",
    "inters.": "intersection_f1_macro",
    "frame AP": "frame_ap_micro",
}
"""Columns of the localisation tables, and the metrics they show."""
LOCALISATION_LEGEND = (
    "When: the network of the honest selection; ± over folds; F1 at thresholds tuned on inner "
    "validation, macro.",
    "PSDS1, PSDS2: over all thresholds, less the spread over classes. F1 by collar: onset within "
    "0.2 s; by segment of 1 s; by intersection: half of each within the other. frame AP: micro.",
)
PER_CLASS = {
    "AP": "ap",
    "AUC": "auc",
    "PSDS1": "psds1",
    "PSDS2": "psds2",
    "collar": "collar_f1",
    "segment": "segment_f1",
    "inters.": "intersection_f1",
    "frame AP": "frame_ap",
}
"""Columns of the tables of classes, and the metrics they show."""
PAPER_COLUMNS = ("network", "ours", *(["paper", "ours", "diff"] * 3))


@dataclass(frozen=True)
class Sheet:
    """A table: title, names of columns, rows of cells, lines below."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    n_left: int = 1
    """Columns of words, set left; the others are numbers."""


def result_sheets(rows: Sequence[Row]) -> list[Sheet]:
    """A sheet a store: every network under both selections, and the score to beat."""
    sheets = []
    for data, group in by_data(rows):
        lines = [cells for row in group for cells in _network_lines(row)]
        sheets.append(Sheet(data.title, COLUMNS, [*lines, _prior_line(group[0])], n_left=4))
    parameters = dict.fromkeys(f"{full_name(row)} {row.recipe['n_parameters']:,}" for row in rows)
    legend = [*LEGEND, f"Parameters: {', '.join(parameters)}.", *_told_apart(rows)]
    sheets[-1] = Sheet(**{**vars(sheets[-1]), "notes": legend})
    return sheets


def _told_apart(rows: Sequence[Row]) -> list[str]:
    """What networks differ in that have one name in the tables; nothing if there are none."""
    alike: dict[tuple[str | None, ...], list[Row]] = {}
    for row in rows:
        name = (*row.data, full_name(row), _alpha(row), row.selection)
        alike.setdefault(name, []).append(row)
    keys = {
        "features" if key == "store_digest" else key
        for group in alike.values()
        for key in {key for row in group for key in row.recipe}.difference(RECORDED)
        if len({repr(row.recipe.get(key)) for row in group}) > 1
    }
    return [f"Networks of one name differ in {', '.join(sorted(keys))}."] if keys else []


def localisation_sheets(rows: Sequence[Row]) -> list[Sheet]:
    """A sheet a store: how well every network says when; empty without strong labels."""
    sheets = []
    columns = ("network", "α", "folds", *LOCALISATION)
    measured = [row for row in rows if row.localisation]
    for data, group in by_data(measured):
        lines = [line for row in group for line in _localisation_lines(row)]
        title = f"{data.title}: when"
        sheets.append(Sheet(title, columns, lines, LOCALISATION_LEGEND, n_left=3))
    return sheets


def class_sheets(rows: Sequence[Row]) -> list[Sheet]:
    """A sheet a network: every metric of every class, of the honest selection."""
    return [_class_sheet(row) for row in rows if row.selection == "honest"]


def paper_sheets(rows: Sequence[Row]) -> list[Sheet]:
    """Tables IV and V with the paper's figures, ours and the difference, a sheet an SNR.

    Of runs on the paper's corpora only; empty if there is none.
    """
    sheets = []
    for snr_db in paper.SNRS_DB:
        at_snr = [row for row in rows if row.reported and row.snr_db == snr_db]
        iv = [r for r in at_snr if r.recipe["model"] != "2apae" or r.recipe["alpha"] == paper.ALPHA]
        v = [row for row in at_snr if row.recipe["model"] == "2apae"]
        sheets += [_paper_sheet("IV", snr_db, iv), _paper_sheet("V", snr_db, v)]
    return [sheet for sheet in sheets if sheet.rows]


def to_markdown(sheets: Sequence[Sheet]) -> str:
    """All sheets as one Markdown text."""
    parts = []
    for sheet in sheets:
        lines = [sheet.columns, ["---"] * len(sheet.columns), *sheet.rows]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        notes = "".join(f"\n- {note}" for note in sheet.notes)
        parts.append(f"## {sheet.title}\n\n{table}\n{notes}".rstrip() + "\n")
    return "\n".join(parts)


def _class_sheet(row: Row) -> Sheet:
    shown = {name: row.per_class[key] for name, key in PER_CLASS.items() if key in row.per_class}
    lines = [
        [name, *(_short(float(values[i])) for values in shown.values())]
        for i, name in enumerate(row.classes)
    ]
    title = f"{full_name(row)}, {row.data.title}: classes"
    return Sheet(title, ("class", *shown), lines)


def full_name(row: Row) -> str:
    """Of a network: model, width and what is special about it."""
    return " ".join([_name(row), *_variant(row).split()])


def names_of(rows: Sequence[Row]) -> list[str]:
    """A name for each network; where two on the same data are alike, that of its first run.

    Args:
        rows: Of one selection.
    """
    names = [
        f"{full_name(row)}, α {row.recipe['alpha']}"
        if TrainConfig.of(row.recipe).network.task_modules
        else full_name(row)
        for row in rows
    ]
    n_times = Counter((row.data, name) for row, name in zip(rows, names, strict=True))
    return [
        row.runs[0] if n_times[row.data, name] > 1 else name
        for row, name in zip(rows, names, strict=True)
    ]


def _localisation_lines(row: Row) -> list[list[str]]:
    """One line; under it what is special about the network, and deviations over folds."""
    averages = [row.localisation[key] for key in LOCALISATION.values()]
    lines = [[_name(row), _alpha(row), _folds(row), *(_short(each.mean) for each in averages)]]
    deviations = ["" if each.std is None else f"±{_short(each.std)}" for each in averages]
    below = [_variant(row), "", "", *deviations]
    return [*lines, below] if any(below) else lines


def _network_lines(row: Row) -> list[list[str]]:
    """One line; under an honest one what is special about the network, and the interval."""
    honest = row.selection == "honest"
    name = [_name(row), _alpha(row), _folds(row)]
    values = [_with_std(average) for average in row.averages]
    scored = f"{row.n_classes_scored}/{row.n_classes}"
    lines = [[*(name if honest else [""] * len(name)), row.selection, *values, scored]]
    if honest:
        intervals = [_interval(average) for average in row.averages]
        lines.append([_variant(row), "", "", "  95 %", *intervals, ""])
    return lines


def _alpha(row: Row) -> str:
    alpha = row.recipe["alpha"]
    return alpha if alpha == "auto" else f"{alpha:g}"


def _folds(row: Row) -> str:
    """`1-4` of folds in a row, `1,3` of others."""
    first, last = row.folds[0], row.folds[-1]
    in_a_row = len(row.folds) > 2 and row.folds == tuple(range(first, last + 1))
    return f"{first}-{last}" if in_a_row else ",".join(map(str, row.folds))


def _prior_line(row: Row) -> list[str]:
    values = [_short(row.prior_micro_p), _short(row.prior_macro_p), _short(0.5)]
    return ["frequencies", "", _folds(row), "", *values, ""]


def _name(row: Row) -> str:
    return f"{row.recipe['model']}/{row.recipe['width']}"


def _variant(row: Row) -> str:
    """What tells a network from others of its name: attention, decoder, seed."""
    config = TrainConfig.of(row.recipe)
    parts = [*config.network.variant, *([f"seed {config.seed}"] if config.seed else [])]
    return "  " + " ".join(parts) if parts else ""


def _short(value: float, sign: str = "") -> str:
    """Three decimals, without the leading zero that no metric needs; a dash for no number."""
    if math.isnan(value):
        return "-"
    return f"{value:{sign}.3f}".replace("0.", ".", 1)


def _with_std(average: Average) -> str:
    return _short(average.mean) + ("" if average.std is None else f"±{_short(average.std)}")


def _interval(average: Average) -> str:
    if average.interval is None:
        return ""
    low, high = average.interval
    return f"{_short(low)}-{_short(high)}"


def _comparison(row: Row, name: str) -> list[str]:
    assert row.reported is not None
    cells = [name if row.selection == "honest" else "", row.selection]
    for theirs, ours in zip(row.reported, row.averages, strict=True):
        cells += [_short(theirs), _short(ours.mean), _short(ours.mean - theirs, "+")]
    return cells


def _paper_sheet(number: str, snr_db: float, rows: Sequence[Row]) -> Sheet:
    names = [r.recipe["model"] if number == "IV" else f"α {r.recipe['alpha']:g}" for r in rows]
    lines = [_comparison(row, name) for row, name in zip(rows, names, strict=True)]
    notes = [
        "micro-P, macro-P, AUC: the paper's, ours, ours minus the paper's. The paper chose its "
        "epochs as the line 'paper' does.",
    ]
    sizes = {(row.recipe["width"], row.n_classes, len(row.folds)) for row in rows}
    for width, n_classes, n_folds in sorted(sizes - {(32, 41, 4)}):
        notes.append(
            f"Ours: width {width}, {n_classes} classes, {n_folds} of the folds. The paper's: width "
            "32, 41 classes, 4 folds. The difference is not one of method."
        )
    if number == "IV":
        notes.append("The networks differ in size: see the parameters above.")
        notes += [paper.MISPRINT] if snr_db == 10 else []
    return Sheet(f"Table {number}, {snr_db} dB", PAPER_COLUMNS, lines, notes, n_left=2)
