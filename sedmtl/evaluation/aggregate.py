"""From the scores of many runs to averages over folds, under both selections; and to JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from sedmtl.evaluation.rows import (
    METRICS,
    Average,
    Row,
    ScoredRun,
    mean_where_known,
)
from sedmtl.metrics import clip as clip_metrics
from sedmtl.metrics.bootstrap import Values, bootstrap
from sedmtl.models import MODELS
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.progress import progress
from sedmtl.store import HeldOutScores

SCHEMA = 1

FROM_RECIPE = ("data", "model", "attention", "time_attention", "reconstruction", "alpha", "width",
               "seed", "n_parameters")  # fmt: skip
N_DRAWS = 500


def tabulate(runs: Sequence[ScoredRun]) -> list[Row]:
    """Average the folds of each network: one row per selection, inner validation first.

    Raises:
        SedmtlError: Two runs have the same network and fold.
    """
    groups: dict[str, list[ScoredRun]] = {}
    for run in runs:
        groups.setdefault(_group_key(run), []).append(run)
    for group in groups.values():
        group.sort(key=lambda run: run.fold)
        _check_folds(group)
    with progress("drawing clips for the intervals", 1) as advance:
        rows = [
            _average(group, selection)
            for group in groups.values()
            for selection in sorted(group[0].scores.score)
        ]
        advance(1)
    return sorted(rows, key=_order)


def as_json(rows: Sequence[Row]) -> dict[str, Any]:
    """The rows as `eval --json` writes them; undefined values are null."""
    return {"schema": SCHEMA, "rows": [_or_null(_json_row(row)) for row in rows]}


def _json_row(row: Row) -> dict[str, Any]:
    values: dict[str, Any] = {key: row.recipe[key] for key in FROM_RECIPE}
    values |= {"snr_db": row.runs[0].snr_db, "onsets": row.data.onsets, "on": row.data.on}
    values |= {"folds": row.folds, "selection": row.selection, "epochs": row.epochs}
    for key, average in zip(METRICS, row.averages, strict=True):
        values |= {key: average.mean, f"{key}_std": average.std}
        values |= {f"{key}_interval": average.interval or ()}
        values |= {f"paper_{key}": getattr(row.reported, key, None)}
    values |= {"n_classes": len(row.classes), "n_classes_scored": row.n_classes_scored}
    values |= {"prior_micro_p": row.prior_micro_p, "prior_macro_p": row.prior_macro_p}
    values |= {"runs": [run.name for run in row.runs]}
    for key, average in row.metrics.items():
        values |= {key: average.mean, f"{key}_std": average.std}
    values["per_class"] = _by_class(row.per_class, row.classes)
    if row.denoising is not None:
        values["denoising"] = {k: each._asdict() for k, each in row.denoising._asdict().items()}
    if row.separation is not None:
        means, per_class = row.separation
        values["separation"] = {**means, "per_class": _by_class(per_class, row.classes)}
    return values


def _by_class(metrics: Mapping[str, Values], classes: Sequence[str]) -> dict[str, dict[str, float]]:
    return {key: dict(zip(classes, each, strict=True)) for key, each in metrics.items()}


def _or_null(value: Any) -> Any:
    """Plain values for JSON, which has no NaN."""
    if isinstance(value, Mapping):
        return {key: _or_null(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_or_null(each) for each in value]
    if isinstance(value, float | np.ndarray):
        return None if np.isnan(value) else float(value)
    return value


def _order(row: Row) -> tuple[Any, ...]:
    snr_db = np.inf if row.runs[0].snr_db is None else row.runs[0].snr_db
    r = row.recipe
    network = MODELS.index(r["model"]), row.runs[0].config.network.variant
    return (snr_db, *map(str, row.data), *network, r["width"], str(r["alpha"]), r["seed"],
            [run.name for run in row.runs], row.selection)  # fmt: skip


def _group_key(run: ScoredRun) -> str:
    """Equal for all folds of one cross-validation, whatever versions trained them."""
    return repr((run.config.cross_validation, run.recipe.get("store_digest"), run.data))


def _check_folds(group: Sequence[ScoredRun]) -> None:
    for one, other in pairwise(group):
        if one.fold == other.fold:
            raise SedmtlError(
                f"expected one run per network and fold: {one.name} and {other.name} are both fold "
                f"{one.fold} of the same network; name the runs to evaluate"
            )


def _average(group: Sequence[ScoredRun], selection: str) -> Row:
    scored = [(run.scores.target, run.scores.score[selection]) for run in group]
    clips = [clip_metrics.evaluate(*fold) for fold in scored]
    priors = [_prior_metrics(run.scores) for run in group]
    draws = [bootstrap(*fold, N_DRAWS, np.random.default_rng(0)) for fold in scored]
    metrics = {
        key: Average.over([fold[i] for fold in clips], [fold[i] for fold in draws])
        for i, key in enumerate(METRICS)
    }
    by_class = [
        {"ap": clip_metrics.average_precision(*fold), "auc": clip_metrics.roc_auc(*fold)}
        for fold in scored
    ]
    measured = [run.localisation for run in group if run.localisation is not None]
    if selection != "honest" or len(measured) < len(group):
        measured = []
    if measured:
        values = [fold.values() for fold in measured]
        metrics |= {key: Average.over([fold[key] for fold in values]) for key in values[0]}
        by_class = [a | b.per_class() for a, b in zip(by_class, measured, strict=True)]
    return Row(
        runs=tuple(group),
        selection=selection,
        metrics=metrics,
        measured=measured,
        per_class=mean_where_known(by_class),
        n_classes_scored=min(each.n_classes_scored for each in clips),
        prior_micro_p=float(np.mean([each.micro_p for each in priors])),
        prior_macro_p=float(np.mean([each.macro_p for each in priors])),
    )


def _prior_metrics(scores: HeldOutScores) -> clip_metrics.ClipMetrics:
    always = np.broadcast_to(scores.prior, scores.target.shape)
    return clip_metrics.evaluate(scores.target, always)
