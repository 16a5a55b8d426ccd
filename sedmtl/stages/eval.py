"""`sedmtl eval`: finished runs -> tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from sedmtl import progress
from sedmtl.checkpoint import find_run, finished_runs, read_run
from sedmtl.config import Config
from sedmtl.errors import SedmtlError
from sedmtl.files import write_text
from sedmtl.results import Row, ScoredRun, as_json, tabulate
from sedmtl.stores import read_scores

COLUMNS = ("network", "α", "width", "folds", "selection", "micro-P", "macro-P", "AUC", "scored")
NOTE = (
    "Means over the held-out folds named.\n"
    "honest: the epoch was chosen on an inner part of the training folds.\n"
    "paper: the best epoch on the held-out fold itself, as in the paper; optimistic.\n"
    "frequencies: always answering how often each class occurs in training.\n"
    "scored: classes with a positive in every fold's held-out clips / all classes."
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
    """Print the results: a table a store."""
    for data, of_data in groupby(rows, key=lambda row: row.data):
        table = Table(
            title=data,
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        for name in COLUMNS:
            table.add_column(name, justify="left" if name in COLUMNS[:5] else "right", no_wrap=True)
        for cells in _lines(list(of_data)):
            table.add_row(*cells)
        console.print(table)
    console.print(NOTE)


def markdown(rows: Sequence[Row]) -> str:
    """The same in Markdown."""
    parts = []
    for data, of_data in groupby(rows, key=lambda row: row.data):
        lines = [COLUMNS, ["---"] * len(COLUMNS), *_lines(list(of_data))]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        parts.append(f"## {data}\n\n{table}\n")
    return "\n".join([*parts, NOTE, ""])


def _lines(rows: Sequence[Row]) -> list[list[str]]:
    """The cells of one store's table: two lines a network, and last what is to be beaten."""
    lines = []
    for row in rows:
        form = "" if row.attention == "released" else f" ({row.attention})"
        name = [f"{row.model}{form}", f"{row.alpha:g}", str(row.width), _span(row.folds)]
        classes = f"{row.n_classes_scored}/{row.n_classes}"
        lines.append([*(name if row.selection == "honest" else [""] * len(name)), row.selection,
                      *_numbers(row.micro_p, row.macro_p, row.auc), classes])  # fmt: skip
    prior = _numbers(rows[0].prior_micro_p, rows[0].prior_macro_p, 0.5)
    return [*lines, ["frequencies", "", "", _span(rows[0].folds), "", *prior, ""]]


def _numbers(*values: float) -> list[str]:
    return [f"{value:.4f}" for value in values]


def _span(folds: Sequence[int]) -> str:
    return ",".join(map(str, folds))
