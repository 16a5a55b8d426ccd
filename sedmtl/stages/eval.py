"""`sedmtl eval`: finished runs -> tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sedmtl import progress
from sedmtl.checkpoint import find_run, finished_runs, read_run
from sedmtl.config import Config
from sedmtl.errors import SedmtlError
from sedmtl.files import write_text
from sedmtl.results import Row, ScoredRun, as_json, tabulate
from sedmtl.stores import read_scores

HEADER = ("data", "network", "α", "width", "folds")
METRICS = ("micro-P", "macro-P", "AUC")
NOTE = (
    "honest: the epoch was chosen on an inner part of the training folds.\n"
    "paper: the best epoch on the held-out fold itself, as in the paper; optimistic.\n"
    "class frequencies: always answering how often each class occurs in the training clips."
)


def evaluate(config: Config, names: Sequence[str], json_path: Path | None) -> list[Row]:
    """Average the named runs, or all finished ones, over their folds; write the tables.

    Raises:
        SedmtlError: A run does not exist or is not finished, or there is none at all.
    """
    runs_dir = config.work_dir / "runs"
    folders = [find_run(runs_dir, name) for name in names] or finished_runs(runs_dir)
    if not folders:
        raise SedmtlError(f"no finished run in {runs_dir}: train one with 'sedmtl train --fold 1'")
    rows = tabulate(
        [ScoredRun(run.name, read_run(run), read_scores(run / "scores.h5")) for run in folders]
    )
    unfinished = [path.parent.name for path in runs_dir.glob("*/run.yaml")
                  if not (path.parent / "model.safetensors").is_file()]  # fmt: skip
    if unfinished and not names:
        progress.say(f"left out, not finished: {', '.join(sorted(unfinished))}")
    text = json.dumps(as_json(rows), indent=1, ensure_ascii=False)
    out = config.work_dir / "eval"
    write_text(out / "eval.json", text)
    write_text(out / "eval.md", markdown(rows))
    if json_path is not None:
        write_text(json_path, text)
    return rows


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the results as a table."""
    table = Table(caption=NOTE, caption_justify="left", title_justify="left")
    for name in HEADER:
        table.add_column(name, vertical="bottom")
    for selection in ("honest", "paper"):
        for name in METRICS:
            table.add_column(f"{selection}\n{name}", justify="right", vertical="bottom")
    table.add_column("classes\nscored", justify="right")
    for cells in _table_rows(rows):
        table.add_row(*cells)
    console.print(table)


def markdown(rows: Sequence[Row]) -> str:
    """The same table in Markdown."""
    header = [
        *HEADER,
        *(f"{name} ({s})" for s in ("honest", "paper") for name in METRICS),
        "classes",
    ]
    lines = [header, ["---"] * len(header), *_table_rows(rows)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{table}\n\n{NOTE}\n"


def _table_rows(rows: Sequence[Row]) -> list[list[str]]:
    """A line a network, and under those of each store what the class frequencies score."""
    lines = []
    for _, of_data in groupby(rows, key=lambda row: row.data):
        pairs = list(of_data)
        lines += [_network_row(*pair) for pair in zip(pairs[::2], pairs[1::2], strict=True)]
        lines.append(_prior_row(pairs[0]))
    return lines


def _network_row(honest: Row, paper: Row) -> list[str]:
    form = "" if honest.attention == "released" else f" ({honest.attention})"
    values = [v for row in (honest, paper) for v in (row.micro_p, row.macro_p, row.auc)]
    return [
        honest.data,
        f"{honest.model}{form}",
        f"{honest.alpha:g}",
        str(honest.width),
        ",".join(map(str, honest.folds)),
        *(f"{value:.4f}" for value in values),
        f"{honest.n_classes_scored}/{honest.n_classes}",
    ]


def _prior_row(row: Row) -> list[str]:
    values = [f"{row.prior_micro_p:.4f}", f"{row.prior_macro_p:.4f}", "0.5000"]
    return [row.data, "class frequencies", "", "", "", *values, *values, ""]
