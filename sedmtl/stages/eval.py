"""`sedmtl eval`: finished runs -> tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from sedmtl import progress
from sedmtl.checkpoint import find_run, finished_runs, read_run
from sedmtl.config import Config
from sedmtl.detector import Detector
from sedmtl.errors import SedmtlError
from sedmtl.files import write_text
from sedmtl.results import Row, ScoredRun, as_json, tabulate
from sedmtl.sheets import Sheet, paper_sheets, result_sheets, to_markdown
from sedmtl.stores import Store, read_scores


def evaluate(
    config: Config, names: Sequence[str], json_path: Path | None = None, on: Path | None = None
) -> list[Sheet]:
    """Average the named runs, or all finished ones, over their folds; write the tables.

    Args:
        config: Of the project; says where the runs are.
        names: Of runs.
        json_path: Where to write the rows, too.
        on: Another store of the same plan to score the runs on.

    Returns:
        The tables to show.

    Raises:
        SedmtlError: A run does not exist or is not finished, there is none at all, or the other
            store is of another plan.
    """
    runs_dir = config.work_dir / "runs"
    folders = [find_run(runs_dir, name) for name in names] or finished_runs(runs_dir)
    if not folders:
        raise SedmtlError(f"no finished run in {runs_dir}: train one with 'sedmtl train --fold 1'")
    if not names:
        _name_unfinished(runs_dir)
    runs = [_score(folder, on) for folder in folders]
    with progress.progress("drawing clips for the intervals", 1) as advance:
        rows = tabulate(runs)
        advance(1)
    sheets = [*result_sheets(rows), *paper_sheets(rows)]
    _write(config.work_dir / "eval", rows, sheets, json_path)
    return sheets


def show(sheets: Sequence[Sheet], console: Console) -> None:
    """Print tables."""
    for sheet in sheets:
        table = Table(title=sheet.title, title_justify="left", title_style="bold",
                      box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))  # fmt: skip
        for i, name in enumerate(sheet.columns):
            table.add_column(name, justify="left" if i < sheet.n_left else "right", no_wrap=True)
        for cells in sheet.rows:
            table.add_row(*cells)
        console.print(table)
        for note in sheet.notes:
            console.print(note, markup=False)


def _name_unfinished(runs_dir: Path) -> None:
    started = {path.parent for path in runs_dir.glob("*/run.yaml")}
    unfinished = sorted(run.name for run in started - set(finished_runs(runs_dir)))
    if unfinished:
        progress.say(f"left out, not finished: {', '.join(unfinished)}")


def _score(folder: Path, on: Path | None) -> ScoredRun:
    run = ScoredRun(folder.name, read_run(folder), read_scores(folder / "scores.h5"))
    return run if on is None else _score_on(run, folder, on)


def _score_on(run: ScoredRun, folder: Path, path: Path) -> ScoredRun:
    """Score the honest network of a run on the same held-out mixtures in another store."""
    detector = Detector.load(folder)
    with Store(path, "logmel", "sedmtl features") as store:
        rows = np.flatnonzero(store.clips.fold == run.recipe["fold"])
        same_plan = (
            tuple(store.classes) == detector.classes
            and [store.clips.name[int(row)] for row in rows] == list(run.scores.name)
            and np.array_equal(store.clips.target[rows], run.scores.target)
        )
        if not same_plan or store.row_shape != (detector.card.n_frames, detector.card.n_mels):
            raise SedmtlError(
                f"{path} is of another plan than {folder.name}: its fold {run.recipe['fold']} "
                "should hold the same mixtures; make it with the same seed, corpora and counts"
            )
        score = detector.score(store.read, rows)
    epoch = {"honest": run.scores.epoch["honest"]}
    scores = replace(run.scores, score={"honest": score}, epoch=epoch)
    return replace(run, scores=scores, on=str(path))


def _write(
    folder: Path, rows: Sequence[Row], sheets: Sequence[Sheet], json_path: Path | None
) -> None:
    text = json.dumps(as_json(rows), indent=1, ensure_ascii=False)
    write_text(folder / "eval.json", text)
    write_text(folder / "eval.md", to_markdown(sheets))
    if json_path is not None:
        write_text(json_path, text)
