"""Results as tables of text, for the terminal, Markdown and HTML. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from sedmtl.evaluation import paper
from sedmtl.evaluation.rows import Average, Row, by_data
from sedmtl.metrics.annotation import Values
from sedmtl.runtime.text import markdown_cell

Cells = Sequence[str]

SELECTIONS = {"honest": "validation", "paper": "test"}
"""The data that the epoch was chosen on, by its name in `scores.h5` and `eval --json`."""

NETWORK = ("network", "α", "folds")
"""The first columns of every table of networks."""

COLUMNS = (*NETWORK, "chosen by", "micro-P", "macro-P", "AUC", "scored")
LEGEND = (
    "Mean over the held-out folds listed, ± standard deviation over folds. 95 %: interval from 500 "
    "bootstrap draws of the clips.",
    "validation: the epoch was chosen on a validation part of the training folds.",
    "test: the best epoch on the held-out fold itself, as in the paper; optimistic.",
    "baseline (class frequencies): every clip gets the frequency of each class in training.",
    "scored: classes with a positive clip in every held-out fold / all classes.",
)
LOCALISATION = {
    "PSDS1": "psds1",
    "PSDS2": "psds2",
    "collar": "collar_f1_macro",
    "segment": "segment_f1_macro",
    "intersection": "intersection_f1_macro",
    "frame AP": "frame_ap_micro",
}
"""Columns of the localisation tables, and the metrics they show."""
LOCALISATION_LEGEND = (
    "When events happen, according to the network chosen by validation; ± standard deviation over "
    "folds.",
    "PSDS1, PSDS2: over all thresholds, minus the standard deviation over classes. frame AP: micro "
    "average over all frames.",
    "collar, segment, intersection: macro F1 at thresholds tuned on validation. collar: onset "
    "within 0.2 s, offset within 0.2 s or 20 % of the event. segment: per second. intersection: "
    "half of each detection and half of each event covered.",
)
PER_CLASS = {
    "AP": "ap",
    "AUC": "auc",
    "PSDS1": "psds1",
    "PSDS2": "psds2",
    "collar": "collar_f1",
    "segment": "segment_f1",
    "intersection": "intersection_f1",
    "frame AP": "frame_ap",
}
"""Columns of the tables of classes, and the metrics they show."""
PAPER_COLUMNS = ("network", "chosen by", *(["paper", "ours", "diff"] * 3))


@dataclass(frozen=True)
class Table:
    """A table: title, names of columns, rows of cells, notes below."""

    title: str
    columns: Cells
    rows: Sequence[Cells]
    notes: Sequence[str] = ()
    n_left: int = 1
    """Number of left-aligned columns of words; the others are numbers."""


def to_markdown(tables: Sequence[Table]) -> str:
    """All tables as one Markdown text."""
    parts = []
    for table in tables:
        head, *rows = (
            [markdown_cell(cell) for cell in line] for line in (table.columns, *table.rows)
        )
        lines = [head, ["---"] * len(head), *rows]
        cells = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        notes = "".join(f"\n- {markdown_cell(note)}" for note in table.notes)
        parts.append(f"## {markdown_cell(table.title)}\n\n{cells}\n{notes}".rstrip() + "\n")
    return "\n".join(parts)


def network_tables(
    rows: Iterable[Row],
    about: str,
    columns: Cells,
    lines_of: Callable[[Row], Sequence[Cells]],
    legend: Sequence[str],
) -> list[Table]:
    """One table per scored data, with the lines of each network that has any.

    `lines_of` gives the cells of a network in the columns after `NETWORK`.
    """
    tables = []
    for data, group in by_data(rows):
        lines = [line for row in group for line in _with_name(row, lines_of(row))]
        if lines:
            tables.append(Table(f"{data.title}: {about}", (*NETWORK, *columns), lines, n_left=3))
    return with_legend(tables, legend)


def with_legend(tables: Sequence[Table], legend: Sequence[str]) -> list[Table]:
    """The tables with the legend below the last one."""
    return [*tables[:-1], *(replace(table, notes=legend) for table in tables[-1:])]


def _with_name(row: Row, cells: Sequence[Cells]) -> list[Cells]:
    """Prefix a network's lines: the first with name, α and folds, the second with the variant."""
    if not cells:
        return []
    heads = [[row.name, alpha_of(row), _folds(row)], [f"  {row.variant}".rstrip(), "", ""]]
    blank_head, blank = [""] * len(NETWORK), [""] * len(cells[0])
    lines = [[*(head or blank_head), *(line or blank)] for head, line in zip_longest(heads, cells)]
    return [line for line in lines if any(line)]


def result_tables(rows: Sequence[Row], outdated: Sequence[str] = ()) -> list[Table]:
    """One table per scored data: every network under both selections, and the baseline.

    Args:
        rows: The networks.
        outdated: Names of runs whose features have changed since.
    """
    tables = []
    for data, group in by_data(rows):
        lines = [line for row in group for line in _result_lines(row)]
        tables.append(Table(data.title, COLUMNS, [*lines, _baseline(group[0])], n_left=4))
    parameters = dict.fromkeys(f"{row.full_name} {row.recipe['n_parameters']:,}" for row in rows)
    notes = [*LEGEND, f"Parameters: {', '.join(parameters)}.", *_told_apart(rows)]
    if outdated:
        notes.append(
            f"Outdated, trained on other features than there are now: {', '.join(outdated)}."
        )
    return with_legend(tables, notes)


def _result_lines(row: Row) -> list[Cells]:
    """One line; for validation, a second one with the network's variant and the interval."""
    values = [_with_std(average) for average in row.averages]
    scored = f"{row.n_classes_scored}/{len(row.classes)}"
    line = [SELECTIONS[row.selection], *values, scored]
    if not row.is_validated:
        return [[""] * len(NETWORK) + line]
    return _with_name(row, [line, ["      95 %", *map(_interval, row.averages), ""]])


def _baseline(row: Row) -> Cells:
    values = [short(row.prior_micro_p), short(row.prior_macro_p), short(0.5)]
    return ["baseline", "", _folds(row), "frequencies", *values, ""]


def _told_apart(rows: Sequence[Row]) -> list[str]:
    """The settings in which networks of the same name differ, if there are such networks."""
    alike: dict[tuple[str | None, ...], list[Row]] = {}
    for row in rows:
        name = (*row.data, row.full_name, alpha_of(row), row.selection)
        alike.setdefault(name, []).append(row)
    keys = set()
    for group in alike.values():
        runs = [row.runs[0] for row in group]
        facts = [run.config.plain() | {"features": run.recipe.get("store_digest")} for run in runs]
        keys |= {key for key in facts[0] if len({repr(each.get(key)) for each in facts}) > 1}
    keys.discard("fold")
    return [f"Networks with the same name differ in {', '.join(sorted(keys))}."] if keys else []


def localisation_tables(rows: Sequence[Row]) -> list[Table]:
    """One table per scored data: localisation by every network; none without strong labels."""
    return network_tables(
        rows, "localisation", tuple(LOCALISATION), _localisation_lines, LOCALISATION_LEGEND
    )


def _localisation_lines(row: Row) -> list[Cells]:
    if not row.measured:
        return []
    averages = [row.metrics[key] for key in LOCALISATION.values()]
    deviations = ["" if each.std is None else f"±{short(each.std)}" for each in averages]
    return [[short(each.mean) for each in averages], deviations]


def class_tables(rows: Sequence[Row]) -> list[Table]:
    """One table per network chosen by validation: every metric of every class."""
    return [
        class_table(row, "classes", row.per_class, PER_CLASS, short)
        for row in rows
        if row.is_validated
    ]


def class_table(
    row: Row,
    about: str,
    metrics: Mapping[str, Values],
    columns: Mapping[str, str],
    text: Callable[[float], str],
) -> Table:
    """A line per class of a network, with those columns whose metric (C,) it has."""
    shown = {name: metrics[key] for name, key in columns.items() if key in metrics}
    lines = [
        [name, *(text(float(values[i])) for values in shown.values())]
        for i, name in enumerate(row.classes)
    ]
    return Table(f"{row.full_name}, {row.data.title}: {about}", ("class", *shown), lines)


def paper_tables(rows: Sequence[Row]) -> list[Table]:
    """Tables IV and V for runs on the paper's corpora, one per SNR: the paper's values and ours."""
    tables = []
    for snr_db in paper.SNRS_DB:
        at_snr = [row for row in rows if row.reported and row.runs[0].snr_db == snr_db]
        iv = [r for r in at_snr if r.recipe["model"] != "2apae" or r.recipe["alpha"] == paper.ALPHA]
        v = [row for row in at_snr if row.recipe["model"] == "2apae"]
        tables += [_paper_table("IV", snr_db, iv), _paper_table("V", snr_db, v)]
    return [table for table in tables if table.rows]


def _paper_table(number: str, snr_db: float, rows: Sequence[Row]) -> Table:
    names = [row.recipe["model"] if number == "IV" else f"α {alpha_of(row)}" for row in rows]
    lines = [_comparison(row, name) for row, name in zip(rows, names, strict=True)]
    notes = [
        "micro-P, macro-P, AUC: the paper's value, ours, ours minus the paper's. The paper chose "
        "its epochs as in the line 'test'.",
    ]
    sizes = {(row.recipe["width"], len(row.classes), len(row.folds)) for row in rows}
    for width, n_classes, n_folds in sorted(sizes - {(32, 41, 4)}):
        notes.append(
            f"Ours: width {width}, {n_classes} classes, {n_folds} of the folds. The paper's: width "
            "32, 41 classes, 4 folds. The difference is therefore not only due to the method."
        )
    if number == "IV":
        notes.append("The networks differ in size: see the numbers of parameters above.")
        notes += [paper.MISPRINT] if snr_db == 10 else []
    return Table(f"Table {number}, {snr_db} dB", PAPER_COLUMNS, lines, notes, n_left=2)


def _comparison(row: Row, name: str) -> Cells:
    assert row.reported is not None
    cells = [name if row.is_validated else "", SELECTIONS[row.selection]]
    for theirs, ours in zip(row.reported, row.averages, strict=True):
        cells += [short(theirs), short(ours.mean), short(ours.mean - theirs, "+")]
    return cells


def alpha_of(row: Row) -> str:
    """The weight of the reconstruction, without trailing zeros."""
    alpha = row.recipe["alpha"]
    return alpha if alpha == "auto" else f"{alpha:g}"


def _folds(row: Row) -> str:
    """`1-4` for consecutive folds, `1,3` for others."""
    first, last = row.folds[0], row.folds[-1]
    in_a_row = len(row.folds) > 2 and row.folds == tuple(range(first, last + 1))
    return f"{first}-{last}" if in_a_row else ",".join(map(str, row.folds))


def short(value: float, sign: str = "") -> str:
    """Three decimals without the leading zero; a dash for NaN."""
    if math.isnan(value):
        return "-"
    return f"{value:{sign}.3f}".replace("0.", ".", 1)


def _with_std(average: Average) -> str:
    return short(average.mean) + ("" if average.std is None else f"±{short(average.std)}")


def _interval(average: Average) -> str:
    if average.interval is None:
        return ""
    low, high = average.interval
    return f"{short(low)}-{short(high)}"
