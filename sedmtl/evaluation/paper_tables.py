"""Tables IV and V of the paper next to our results."""

from __future__ import annotations

from collections.abc import Sequence

from sedmtl.evaluation import paper
from sedmtl.evaluation.rows import Row
from sedmtl.evaluation.tables import SELECTIONS, Cells, Table, short

PAPER_COLUMNS = ("network", "chosen by", *(["paper", "ours", "diff"] * 3))


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
    names = [row.recipe["model"] if number == "IV" else f"α {_alpha(row)}" for row in rows]
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
    if len({row.data for row in rows}) > 1:
        notes.append("Not all of these were scored on the same clips: see the tables above.")
    if number == "IV":
        notes.append("The networks differ in size: see the numbers of parameters above.")
        notes += [paper.MISPRINT] if snr_db == 10 else []
    return Table(f"Table {number}, {snr_db} dB", PAPER_COLUMNS, lines, notes, n_left=2)


def _comparison(row: Row, name: str) -> Cells:
    assert row.reported is not None
    cells = [name if row.is_validated else "", SELECTIONS[row.selection].partition(" ")[0]]
    for theirs, ours in zip(row.reported, row.averages, strict=True):
        cells += [short(theirs), short(ours.mean), short(ours.mean - theirs, "+")]
    return cells


def _alpha(row: Row) -> str:
    """The weight of the reconstruction, without trailing zeros."""
    alpha = row.recipe["alpha"]
    return alpha if alpha == "auto" else f"{alpha:g}"
