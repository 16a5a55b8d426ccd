"""`sedmtl eval`: finished runs -> tables of results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import sedmtl
from sedmtl.config import Config
from sedmtl.evaluation.aggregate import as_json, tabulate
from sedmtl.evaluation.localisation import Localisation, from_json, measure
from sedmtl.evaluation.localisation import as_json as localisation_json
from sedmtl.evaluation.paper_tables import paper_tables
from sedmtl.evaluation.rows import Row, ScoredRun
from sedmtl.evaluation.stem_scores import measure as measure_stems
from sedmtl.evaluation.stem_tables import denoising_tables, separation_tables
from sedmtl.evaluation.tables import (
    Table,
    class_tables,
    localisation_tables,
    result_tables,
    to_markdown,
)
from sedmtl.inference.checkpoint import load_card, load_model
from sedmtl.inference.detector import Detector
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.inference.runs import find_run, finished_runs, is_finished, read_run
from sedmtl.inference.timelines import score_recordings
from sedmtl.runtime import progress
from sedmtl.runtime.atomic import write_text
from sedmtl.runtime.documents import parse_json
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.folders import entries, is_file
from sedmtl.runtime.origin import Origin
from sedmtl.runtime.outputs import check_output, write_output
from sedmtl.runtime.regular import read_bytes, read_text
from sedmtl.store import HeldOutScores, Store, check_encoder, read_scores, stores_in


class Evaluated(NamedTuple):
    """The tables and the rows behind them."""

    tables: list[Table]
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
    force: bool | None = None,
) -> Evaluated:
    """Average the named runs, or all finished ones, over their folds; write tables and rows.

    Args:
        config: The project.
        names: Names of runs.
        json_path: An additional file to write the rows to.
        on: As in `score_runs`.
        per_class: Add a table of classes for each network.
        denoise: Evaluate decoders against the clean events.
        separation: Evaluate masks against the stems of each class.
        force: Overwrite the user's files as well.

    Raises:
        SedmtlError: As in `score_runs`, or there are no stems, or a file is the user's.
    """
    folder = config.work_dir / "eval"
    json_paths = [folder / "eval.json", *([json_path] if json_path else [])]
    for path in (*json_paths, folder / "eval.md"):
        check_output(path, force=force)
    runs = score_runs(config.work_dir / "runs", names, on)
    if denoise or separation:
        runs = measure_stems(config.work_dir, runs, denoise=denoise, separation=separation)
    rows = tabulate(runs)
    outdated = outdated_runs(config.work_dir, runs)
    tables = [*result_tables(rows, outdated), *localisation_tables(rows), *paper_tables(rows)]
    tables += class_tables(rows) if per_class else []
    tables += [*denoising_tables(rows), *separation_tables(rows, per_class)]
    text = json.dumps(as_json(rows), indent=1, ensure_ascii=False)
    for path in json_paths:
        write_output(path, text, force=force)
    write_output(folder / "eval.md", to_markdown(tables), force=force)
    return Evaluated(tables, rows)


def score_runs(runs_dir: Path, names: Sequence[str], on: Path | None = None) -> list[ScoredRun]:
    """Score the named runs, or all finished ones, on their own data or on the store `on`.

    Raises:
        SedmtlError: A run does not exist or is not finished, there are no runs, or the store `on`
            follows another plan.
    """
    named = [find_run(runs_dir, name) for name in names]
    final = [folder.name for folder in named if not read_run(folder)["fold"]]
    if final:
        raise SedmtlError(
            f"{final[0]} was trained on all folds: there is no score to show; name runs with a "
            "held-out fold"
        )
    finished = [] if named else finished_runs(runs_dir)
    folders = named or [run for run in finished if read_run(run)["fold"]]
    if not folders:
        raise SedmtlError(
            f"no finished run with a held-out fold in {runs_dir}: train one with 'sedmtl train "
            "--fold 1'"
        )
    left_out = unfinished_runs(runs_dir) if not names else []
    if left_out:
        progress.say(f"left out, not finished: {', '.join(left_out)}")
    unscored = [run.name for run in finished if run not in folders]
    if unscored:
        progress.say(f"left out, trained on all folds: {', '.join(unscored)}")
    runs = []
    with progress.progress("scoring runs", len(folders)) as advance:
        for folder in folders:
            runs.append(_score(folder, on))
            advance(1)
    return runs


def outdated_runs(work_dir: Path, runs: Sequence[ScoredRun]) -> list[str]:
    """Names of the runs whose features have changed since they were trained."""
    now: dict[str, str] = {}
    for name, path in stores_in(work_dir / "features").items():
        with suppress(SedmtlError), Store(path, "logmel") as store:
            now[name] = store.data_hash("logmel")
    made_from = [(run, run.recipe.get("store_digest")) for run in runs]
    return [run.name for run, digest in made_from if now.get(run.recipe["data"], digest) != digest]


def unfinished_runs(runs_dir: Path) -> list[str]:
    """Names of the unfinished runs."""
    runs = [run for run in entries(runs_dir) if is_file(run / "run.yaml")]
    return [run.name for run in runs if not is_finished(run)]


def _score(folder: Path, on: Path | None) -> ScoredRun:
    recipe, card = read_run(folder), load_card(folder)
    scores = read_scores(folder / "scores.h5")
    facts: Mapping[str, Any] = recipe
    if on is None:
        measured = _measure_once(folder, scores, card.postprocessing)
    else:
        scores, facts = _score_on(folder, recipe["fold"], scores, on)
        measured = measure(scores, card.postprocessing)
    return ScoredRun(folder, recipe, card, scores, facts, str(on or ""), measured)


def _measure_once(
    folder: Path, scores: HeldOutScores, settings: PostProcessing
) -> Localisation | None:
    """Reuse the stored metrics of a run, or measure it if its scores or settings have changed."""
    path = folder / "localisation.json"
    digest = hashlib.sha256(read_bytes(folder / "scores.h5")).hexdigest()
    origin = Origin({"version": sedmtl.__version__, "scores": digest, "settings": repr(settings)})
    try:
        known = parse_json(read_text(path))
        if Origin(known.pop("made_from")).is_current(origin):
            return from_json(known)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # missing, damaged or from another version: measure
    measured = measure(scores, settings)
    if measured is not None:
        write_text(path, json.dumps({"made_from": origin.decides, **localisation_json(measured)}))
    return measured


def _score_on(
    folder: Path, fold: int, known: HeldOutScores, path: Path
) -> tuple[HeldOutScores, Mapping[str, Any]]:
    """Score a run's network on the same held-out mixtures in another store."""
    detector = Detector(*load_model(folder))
    with Store(path, *dict.fromkeys(("logmel", *detector.card.network.inputs))) as store:
        check_encoder(store, detector.card.encoder)
        rows = np.flatnonzero(store.clips.fold == fold)
        same_plan = (
            tuple(store.classes) == detector.classes
            and [store.clips.name[int(row)] for row in rows] == list(known.name)
            and np.array_equal(store.clips.target[rows], known.target)
        )
        if not same_plan or store.row_shape != (detector.card.n_frames, detector.card.n_mels):
            raise SedmtlError(
                f"{path} follows another plan than {folder.name}: expected the same mixtures in "
                f"its fold {fold}; make it with the same seed, corpora and counts"
            )
        lines, clip = score_recordings(detector, store, rows)
        scores = replace(
            known,
            score={"honest": clip},
            frame=lines.frame.astype(np.float16),
            events=store.clips.events.of_clips(rows),
            windows=lines.windows,
            window_score=None if lines.windows is None else lines.clip,
        )
        return scores, store.attributes
