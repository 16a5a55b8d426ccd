"""`sedmtl eval`: finished runs -> tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import sedmtl
from sedmtl import plots, progress
from sedmtl.checkpoint import find_run, finished_runs, load_card, read_run
from sedmtl.config import Config
from sedmtl.detector import Detector
from sedmtl.errors import SedmtlError
from sedmtl.files import write_text
from sedmtl.localisation import Localisation, from_json, measure
from sedmtl.localisation import as_json as localisation_json
from sedmtl.postprocess import PostProcessing
from sedmtl.results import Row, ScoredRun, as_json, tabulate
from sedmtl.sheets import (
    Sheet,
    class_sheets,
    full_name,
    localisation_sheets,
    paper_sheets,
    result_sheets,
    title_of,
    to_markdown,
)
from sedmtl.stores import HeldOutScores, Store, read_scores


def evaluate(
    config: Config,
    names: Sequence[str],
    json_path: Path | None = None,
    on: Path | None = None,
    *,
    per_class: bool = False,
) -> list[Sheet]:
    """Average the named runs, or all finished ones, over their folds; write the tables.

    Args:
        config: Of the project; says where the runs are.
        names: Of runs.
        json_path: Where to write the rows, too.
        on: Another store of the same plan to score the runs on.
        per_class: Whether to show a table of the classes of each network, too.

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
    with progress.progress("scoring runs", len(folders)) as advance:
        runs = []
        for folder in folders:
            runs.append(_score(folder, on))
            advance(1)
    with progress.progress("drawing clips for the intervals", 1) as advance:
        rows = tabulate(runs)
        advance(1)
    sheets = [*result_sheets(rows), *localisation_sheets(rows), *paper_sheets(rows)]
    sheets += class_sheets(rows) if per_class else []
    _draw(config.work_dir / "eval", rows)
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
    recipe, card = read_run(folder), load_card(folder)
    scores, config = read_scores(folder / "scores.h5"), recipe.get("config", "")
    if on is not None:
        scores, config = _score_on(folder, recipe["fold"], scores, on)
        measured = measure(scores, card.postprocessing)
    else:
        measured = _measure_once(folder, scores, card.postprocessing)
    return ScoredRun(folder.name, recipe, scores, config, measured, str(on or ""))


def _measure_once(
    folder: Path, scores: HeldOutScores, settings: PostProcessing
) -> Localisation | None:
    """What was measured before, if nothing that it depends on has changed since."""
    path = folder / "localisation.json"
    digest = hashlib.sha256((folder / "scores.h5").read_bytes()).hexdigest()
    made_from = {"version": sedmtl.__version__, "scores": digest, "settings": repr(settings)}
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if known.pop("made_from") == made_from:
            return from_json(known)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # it is not there, or not what this version writes: measure
    measured = measure(scores, settings)
    if measured is not None:
        write_text(path, json.dumps({"made_from": made_from, **localisation_json(measured)}))
    return measured


def _score_on(
    folder: Path, fold: int, known: HeldOutScores, path: Path
) -> tuple[HeldOutScores, str]:
    """Score the honest network of a run on the same held-out mixtures in another store."""
    detector = Detector.load(folder)
    with Store(path, "logmel", "sedmtl features") as store:
        rows = np.flatnonzero(store.clips.fold == fold)
        same_plan = (
            tuple(store.classes) == detector.classes
            and [store.clips.name[int(row)] for row in rows] == list(known.name)
            and np.array_equal(store.clips.target[rows], known.target)
        )
        if not same_plan or store.row_shape != (detector.card.n_frames, detector.card.n_mels):
            raise SedmtlError(
                f"{path} is of another plan than {folder.name}: its fold {fold} "
                "should hold the same mixtures; make it with the same seed, corpora and counts"
            )
        clip, frame = detector.score(store.read, rows)
        scores = replace(
            known,
            score={"honest": clip},
            epoch={"honest": known.epoch["honest"]},
            frame=frame.astype(np.float16),
            events=store.clips.events.of_clips(rows),
        )
        return scores, store.attributes.get("config", "")


def _draw(folder: Path, rows: Sequence[Row]) -> None:
    """A picture a store: the score curves of its networks."""
    measured = [row for row in rows if row.measured]
    for _, group in groupby(measured, key=title_of):
        of_store = list(group)
        curves = {
            full_name(row): ([m.psds1 for m in row.measured], [m.psds2 for m in row.measured])
            for row in of_store
        }
        first = of_store[0]
        moved = f"_on_{first.onsets or 'another'}" if first.on else ""
        path = folder / f"psds_{first.recipe['data']}{moved}.png"
        plots.save(plots.psd_roc(curves, title_of(first)), path)
        progress.say(f"curves: {path}")


def _write(
    folder: Path, rows: Sequence[Row], sheets: Sequence[Sheet], json_path: Path | None
) -> None:
    text = json.dumps(as_json(rows), indent=1, ensure_ascii=False)
    write_text(folder / "eval.json", text)
    write_text(folder / "eval.md", to_markdown(sheets))
    if json_path is not None:
        write_text(json_path, text)
