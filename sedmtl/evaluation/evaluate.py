"""`sedmtl eval`: finished runs -> tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

import sedmtl
from sedmtl.config import Config
from sedmtl.evaluation.aggregate import Row, ScoredRun, as_json, tabulate
from sedmtl.evaluation.localisation import Localisation, from_json, measure
from sedmtl.evaluation.localisation import as_json as localisation_json
from sedmtl.evaluation.stem_scores import Measured
from sedmtl.evaluation.stem_scores import measure as measure_stems
from sedmtl.evaluation.stem_tables import as_json as stems_json
from sedmtl.evaluation.stem_tables import denoising_sheets, separation_sheets
from sedmtl.evaluation.tables import (
    Sheet,
    class_sheets,
    localisation_sheets,
    paper_sheets,
    result_sheets,
    to_markdown,
)
from sedmtl.inference.checkpoint import find_run, finished_runs, load_card, read_run
from sedmtl.inference.detector import Detector
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.runtime import progress
from sedmtl.runtime.atomic import write_text
from sedmtl.runtime.documents import parse_json
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.origin import Origin
from sedmtl.store import HeldOutScores, Store, read_scores


class Evaluated(NamedTuple):
    """What `eval` shows, and what its pictures are made of."""

    sheets: list[Sheet]
    rows: list[Row]


def evaluate(
    config: Config,
    names: Sequence[str],
    json_path: Path | None = None,
    on: Path | None = None,
    *,
    per_class: bool = False,
    denoise: bool = False,
    separation: bool = False,
) -> Evaluated:
    """Average the named runs, or all finished ones, over their folds; write the tables.

    Args:
        config: Of the project; says where the runs are.
        names: Of runs.
        json_path: Where to write the rows, too.
        on: Another store of the same plan to score the runs on.
        per_class: Whether to show a table of the classes of each network, too.
        denoise: Whether to measure decoders against the events without the scene.
        separation: Whether to measure masks against the events of each class alone.

    Returns:
        The tables to show, and the rows that they are made of.

    Raises:
        SedmtlError: A run does not exist or is not finished, there is none at all, the other
            store is of another plan, or there are no stems to measure against.
    """
    folders, runs, rows = score_runs(config.work_dir / "runs", names, on)
    sheets = [*result_sheets(rows), *localisation_sheets(rows), *paper_sheets(rows)]
    sheets += class_sheets(rows) if per_class else []
    against_stems: Measured = {}
    if denoise or separation:
        against_stems = measure_stems(
            config.work_dir, folders, runs, denoise=denoise, separation=separation
        )
    sheets += denoising_sheets(rows, against_stems)
    sheets += separation_sheets(rows, against_stems, per_class)
    _write(config.work_dir / "eval", rows, against_stems, sheets, json_path)
    return Evaluated(sheets, rows)


def score_runs(
    runs_dir: Path, names: Sequence[str], on: Path | None = None
) -> tuple[list[Path], list[ScoredRun], list[Row]]:
    """Score the named runs, or all finished ones, and average them over their folds.

    Args:
        runs_dir: Where they are.
        names: Of runs.
        on: Another store of the same plan to score them on.

    Returns:
        The run folders, their scores in the same order, and the rows of the results.

    Raises:
        SedmtlError: A run does not exist or is not finished, there is none at all, or the other
            store is of another plan.
    """
    folders = [find_run(runs_dir, name) for name in names] or finished_runs(runs_dir)
    if not folders:
        raise SedmtlError(f"no finished run in {runs_dir}: train one with 'sedmtl train --fold 1'")
    left_out = unfinished_runs(runs_dir) if not names else []
    if left_out:
        progress.say(f"left out, not finished: {', '.join(left_out)}")
    with progress.progress("scoring runs", len(folders)) as advance:
        runs = []
        for folder in folders:
            runs.append(_score(folder, on))
            advance(1)
    with progress.progress("drawing clips for the intervals", 1) as advance:
        rows = tabulate(runs)
        advance(1)
    return folders, runs, rows


def unfinished_runs(runs_dir: Path) -> list[str]:
    """Names of the runs that were begun and not finished."""
    started = {path.parent for path in runs_dir.glob("*/run.yaml")}
    return sorted(run.name for run in started - set(finished_runs(runs_dir)))


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
    basis = {"version": sedmtl.__version__, "scores": digest, "settings": repr(settings)}
    origin = Origin(basis)
    try:
        known = parse_json(path.read_text(encoding="utf-8"))
        if Origin(known.pop("made_from")).is_current(origin):
            return from_json(known)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # it is not there, or not what this version writes: measure
    measured = measure(scores, settings)
    if measured is not None:
        write_text(path, json.dumps({"made_from": origin.decides, **localisation_json(measured)}))
    return measured


def _score_on(
    folder: Path, fold: int, known: HeldOutScores, path: Path
) -> tuple[HeldOutScores, str]:
    """Score the honest network of a run on the same held-out mixtures in another store."""
    detector = Detector.load(folder)
    with Store(path, "logmel") as store:
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


def _write(
    folder: Path,
    rows: Sequence[Row],
    against_stems: Measured,
    sheets: Sequence[Sheet],
    json_path: Path | None,
) -> None:
    data = as_json(rows)
    for values, row in zip(data["rows"], rows, strict=True):
        values |= stems_json(row, against_stems)
    text = json.dumps(data, indent=1, ensure_ascii=False)
    write_text(folder / "eval.json", text)
    write_text(folder / "eval.md", to_markdown(sheets))
    if json_path is not None:
        write_text(json_path, text)
