"""Results as text tables, for the terminal, Markdown and HTML."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sedmtl.evaluation.differences import differences, names_of
from sedmtl.evaluation.rows import KNOWS_MORE, Average, Row, ScoredRun, by_data
from sedmtl.metrics.annotation import Values
from sedmtl.runtime.text import markdown_cell
from sedmtl.training.pretrained import describe_seen

Cells = Sequence[str]

SELECTIONS = {"honest": "validation", "paper": "test (paper's)"}
"""The data that the epoch was chosen on, by its name in `scores.h5` and `eval --json`."""

COLUMNS = ("chosen by", "micro-P", "macro-P", "AUC", "scored")
LEGEND = (
    "Mean over held-out folds ± standard deviation; 95 %: from 500 bootstrap draws of clips.",
    "Epoch chosen by validation: a part of the training folds; test (paper's): the held-out fold "
    "itself, optimistic.",
    "baseline: the classes' frequencies in training as scores. scored: classes that occur in every "
    "held-out fold.",
)
LOCALISATION = {
    "PSDS1": "psds1",
    "PSDS2": "psds2",
    "collar": "collar_f1_macro",
    "segment": "segment_f1_macro",
    "intersection": "intersection_f1_macro",
    "frame AP": "frame_ap_micro",
}
"""Columns of the localisation tables, and the metrics that they show."""
LOCALISATION_LEGEND = (
    "Epoch chosen by validation; ± standard deviation over folds.",
    "Over all thresholds: PSDS1 (exact times), PSDS2 (unconfused classes), frame AP (micro).",
    "Macro F1 at thresholds from validation: collar (onset to 0.2 s, offset to 0.2 s or 20 %), "
    "segment (each second), intersection (half of event and detection in each other).",
)
COUNTS = ("positives", "recordings")
CLASSES = {"AP": "ap", "AUC": "auc"}
CLASSES_LOCALISATION = {
    "PSDS1": "psds1",
    "PSDS2": "psds2",
    "collar": "collar_f1",
    "segment": "segment_f1",
    "intersection": "intersection_f1",
    "frame AP": "frame_ap",
}
"""Columns of the class tables, and the metrics that they show."""
CLASSES_LEGEND = (
    "positives: held-out clips that hold the class. recordings: how many different recordings the "
    "class was cut from for these clips; with few, its scores are uncertain however many clips.",
)


@dataclass(frozen=True)
class Table:
    """A table: title, column names, rows of cells, and notes below.

    Attributes:
        n_left: Number of left-aligned text columns; the others are numbers.
        n_apart: Number of columns after the first that distinguish networks.
    """

    title: str
    columns: Cells
    rows: Sequence[Cells]
    notes: Sequence[str] = ()
    n_left: int = 1
    n_apart: int = 0

    def narrow(self) -> Table:
        """The table with distinguishing settings below the networks' names, not in columns."""
        end, rows, told = 1 + self.n_apart, [], list[str]()
        names = self.columns[1:end]
        for cells in self.rows:
            if cells[0]:
                rows += [[each, *[""] * len(cells[end:])] for each in told]
                pairs = zip(names, cells[1:end], strict=True)
                told = [f"  {name} {cell}" for name, cell in pairs if cell]
                rows.append([cells[0], *cells[end:]])
            else:
                rows.append([told.pop(0) if told else "", *cells[end:]])
        rows += [[each, *[""] * (len(self.columns) - end)] for each in told]
        columns = [self.columns[0], *self.columns[end:]]
        return replace(
            self, columns=columns, rows=rows, n_left=self.n_left - self.n_apart, n_apart=0
        )


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
    n_left: int = 0,
) -> list[Table]:
    """One table per set of scored clips, with the lines of each network that has any.

    Args:
        rows: The networks; both selections of a network are adjacent and share its name.
        about: Suffix of the titles, unless empty.
        columns: Columns after the network and its distinguishing settings.
        lines_of: Returns the cells of a network in these columns.
        legend: Notes below the last table.
        n_left: Number of text columns among `columns`.
    """
    tables = []
    for data, group in by_data(row for row in rows if lines_of(row)):
        apart = differences(group)
        lines: list[Cells] = []
        named: ScoredRun | None = None
        for row, *told in zip(group, *apart.values(), strict=True):
            for cells in lines_of(row):
                is_named = row.runs[0] is named
                lines.append([*([""] * (1 + len(told)) if is_named else [row.name, *told]), *cells])
                named = row.runs[0]
        title = f"{data.title}: {about}" if about else data.title
        header = ("network", *apart, *columns)
        n_words = 1 + len(apart)
        tables.append(Table(title, header, lines, n_left=n_words + n_left, n_apart=len(apart)))
    return with_legend(tables, legend)


def with_legend(tables: Sequence[Table], legend: Sequence[str]) -> list[Table]:
    """The tables with the legend below the last one."""
    return [*tables[:-1], *(replace(table, notes=legend) for table in tables[-1:])]


def result_tables(rows: Sequence[Row], outdated: Sequence[str] = ()) -> list[Table]:
    """One table per set of scored clips: every network under both selections, and the baseline.

    Args:
        rows: The networks.
        outdated: Names of runs whose features have changed since training.
    """
    parameters = dict.fromkeys(f"{row.name} {row.recipe['n_parameters']:,}" for row in rows)
    notes = [*LEGEND, f"Parameters: {', '.join(parameters)}."]
    if outdated:
        notes.append(f"Outdated, as their features have changed since: {', '.join(outdated)}.")
    notes += _known(rows)
    runs = {run.name: run for row in rows for run in row.runs}
    doubts = [describe_seen(run.recipe, run.name) for run in runs.values()]
    notes += [f"{doubt}." for doubt in doubts if doubt]
    tables = network_tables(rows, "", COLUMNS, _result_lines, notes, n_left=1)
    return [
        replace(table, rows=[*table.rows, *_baselines(group, table.n_apart)])
        for table, (_, group) in zip(tables, by_data(rows), strict=True)
    ]


def _known(rows: Sequence[Row]) -> list[str]:
    """A note that explains the marks; empty if no network has one."""
    known = {(row.name, ", ".join(row.known)): row.runs[0].name for row in rows if row.known}
    if not known:
        return []
    n_alike = Counter(name for name, _ in known)
    told = [
        f"{name}: {words}" if n_alike[name] == 1 else f"{name} ({run}): {words}"
        for (name, words), run in known.items()
    ]
    return [
        f"{KNOWS_MORE} not from weak labels only: training also knew frames (the classes in each), "
        f"times (when events sound) or stems (the events alone). {'; '.join(told)}."
    ]


def _result_lines(row: Row) -> list[Cells]:
    """One line; for validation, a second one with the interval."""
    values = [_with_std(average) for average in row.averages]
    scored = f"{row.n_classes_scored}/{len(row.classes)}"
    line = [SELECTIONS[row.selection], *values, scored]
    return [line, ["95 %", *map(_interval, row.averages), ""]] if row.is_validated else [line]


def _baselines(rows: Sequence[Row], n_apart: int) -> list[Cells]:
    """A line for each distinct baseline, which depends on a network's training clips."""
    found = dict.fromkeys((row.prior_micro_p, row.prior_macro_p) for row in rows)
    values = [[short(micro_p), short(macro_p), short(0.5)] for micro_p, macro_p in found]
    return [["baseline", *[""] * n_apart, "frequencies", *each, ""] for each in values]


def localisation_tables(rows: Sequence[Row]) -> list[Table]:
    """One table per scored data: localisation by every network; none without strong labels."""
    return network_tables(
        rows, "localisation", tuple(LOCALISATION), _localisation_lines, LOCALISATION_LEGEND
    )


def _localisation_lines(row: Row) -> list[Cells]:
    if not row.measured:
        return []
    averages = [row.metrics[key] for key in LOCALISATION.values()]
    means = [short(each.mean) for each in averages]
    deviations = [f"±{short(each.std)}" for each in averages if each.std is not None]
    return [means, deviations] if deviations else [means]


def class_tables(rows: Sequence[Row]) -> list[Table]:
    """Two tables per validation-selected network: clip and localisation metrics by class."""
    validated = [row for row in rows if row.is_validated]
    tables = []
    for row, name in zip(validated, names_of(validated), strict=True):
        about = f"{name}, {row.data.title}: classes"
        counts = [list(map(str, row.counts[key])) for key in COUNTS]
        tables.append(class_table(row, about, row.per_class, CLASSES, short, COUNTS, counts))
        if row is validated[-1]:
            tables[-1] = replace(tables[-1], notes=CLASSES_LEGEND)
        if row.measured:
            about = f"{about}, localisation"
            tables.append(class_table(row, about, row.per_class, CLASSES_LOCALISATION, short))
    return tables


def class_table(
    row: Row,
    title: str,
    metrics: Mapping[str, Values],
    columns: Mapping[str, str],
    text: Callable[[float], str],
    before: Cells = (),
    counts: Sequence[Cells] = (),
) -> Table:
    """A line per class of a network, with the columns whose metric (C,) it has.

    `before` and `counts` are names and values of additional columns before these.
    """
    shown = {name: metrics[key] for name, key in columns.items() if key in metrics}
    lines = [
        [name, *(each[i] for each in counts), *(text(float(v[i])) for v in shown.values())]
        for i, name in enumerate(row.classes)
    ]
    return Table(title, ("class", *before, *shown), lines)


def short(value: float, sign: str = "") -> str:
    """Format with three decimals, without the leading zero; a dash for NaN."""
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
