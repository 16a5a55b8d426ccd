"""Scores of many runs -> rows of a results table: averaged over folds, under both selections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sedmtl.errors import SedmtlError
from sedmtl.metrics import clip as clip_metrics
from sedmtl.stores import HeldOutScores

SCHEMA = 1

# What two runs may differ in and still be folds of one cross-validation.
PER_FOLD = ("fold",)


@dataclass(frozen=True)
class ScoredRun:
    """A finished run: its name, its recipe (`run.yaml`), its held-out scores."""

    name: str
    recipe: Mapping[str, Any]
    scores: HeldOutScores


@dataclass(frozen=True)
class Row:
    """One network under one selection, averaged over the folds that were run.

    Attributes:
        snr_db: None for recordings that were not mixed.
        selection: `honest`: epoch chosen on inner validation. `paper`: the best epoch on the very
            fold that is reported, as in the paper; optimistic.
        epochs: The chosen epoch of each fold.
        n_classes_scored: Classes with a positive in their held-out fold (least over the folds).
        prior_micro_p: What always answering the training clips' class frequencies scores.
    """

    data: str
    snr_db: float | None
    model: str
    attention: str
    alpha: float
    width: int
    seed: int
    folds: tuple[int, ...]
    selection: str
    epochs: tuple[int, ...]
    micro_p: float
    macro_p: float
    auc: float
    n_classes: int
    n_classes_scored: int
    prior_micro_p: float
    prior_macro_p: float
    runs: tuple[str, ...]


def tabulate(runs: Sequence[ScoredRun]) -> list[Row]:
    """Average the folds of each network; two rows each, honest first.

    Raises:
        SedmtlError: Two of the runs are the same fold of the same network.
    """
    groups: dict[str, list[ScoredRun]] = {}
    for run in runs:
        groups.setdefault(_group_key(run.recipe), []).append(run)
    rows = []
    for group in groups.values():
        group.sort(key=lambda run: int(run.recipe["fold"]))
        _check_folds(group)
        rows += [_average(group, selection) for selection in ("honest", "paper")]
    return sorted(rows, key=_order)


def as_json(rows: Sequence[Row]) -> dict[str, Any]:
    """The rows as `eval --json` writes them; a value that does not exist is null."""
    return {"schema": SCHEMA, "rows": [_without_nan(asdict(row)) for row in rows]}


def _order(row: Row) -> tuple[Any, ...]:
    snr_db = np.inf if row.snr_db is None else row.snr_db
    return snr_db, row.data, row.model, row.attention, row.width, row.alpha, row.seed, row.selection


def _group_key(recipe: Mapping[str, Any]) -> str:
    return repr(sorted((key, value) for key, value in recipe.items() if key not in PER_FOLD))


def _check_folds(group: Sequence[ScoredRun]) -> None:
    by_fold: dict[int, str] = {}
    for run in group:
        fold = int(run.recipe["fold"])
        if fold in by_fold:
            raise SedmtlError(
                f"the runs {by_fold[fold]} and {run.name} are both fold {fold} of the same "
                "network: name the runs to evaluate"
            )
        by_fold[fold] = run.name


def _average(group: Sequence[ScoredRun], selection: str) -> Row:
    recipe = group[0].recipe
    metrics = [clip_metrics.evaluate(r.scores.target, r.scores.score[selection]) for r in group]
    priors = [_prior_metrics(run.scores) for run in group]
    return Row(
        data=recipe["data"],
        snr_db=_snr_db(recipe["data"]),
        model=recipe["model"],
        attention=recipe["attention"],
        alpha=recipe["alpha"],
        width=recipe["width"],
        seed=recipe["seed"],
        folds=tuple(int(run.recipe["fold"]) for run in group),
        selection=selection,
        epochs=tuple(run.scores.epoch[selection] for run in group),
        micro_p=_mean([each.micro_p for each in metrics]),
        macro_p=_mean([each.macro_p for each in metrics]),
        auc=_mean([each.auc for each in metrics]),
        n_classes=len(group[0].scores.classes),
        n_classes_scored=min(each.n_classes_scored for each in metrics),
        prior_micro_p=_mean([each.micro_p for each in priors]),
        prior_macro_p=_mean([each.macro_p for each in priors]),
        runs=tuple(run.name for run in group),
    )


def _prior_metrics(scores: HeldOutScores) -> clip_metrics.ClipMetrics:
    always = np.broadcast_to(scores.prior, scores.target.shape)
    return clip_metrics.evaluate(scores.target, always)


def _snr_db(data: str) -> float | None:
    return float(data.removeprefix("snr_")) if data.startswith("snr_") else None


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _without_nan(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and np.isnan(value) else value
        for key, value in row.items()
    }
