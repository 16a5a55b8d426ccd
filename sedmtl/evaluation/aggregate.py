"""Averages the scores of many runs over folds, under both selections, and converts them to JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sedmtl.evaluation.denoising import Denoising
from sedmtl.evaluation.rows import METRICS, Average, Row, ScoredRun
from sedmtl.metrics import clip as clip_metrics
from sedmtl.metrics.annotation import Values
from sedmtl.metrics.bootstrap import bootstrap, interval
from sedmtl.models import MODELS
from sedmtl.runtime.progress import progress
from sedmtl.store import HeldOutScores

SCHEMA = 1

FROM_RECIPE = ("data", "model", "attention", "time_attention", "reconstruction", "alpha", "width",
               "seed", "n_parameters")  # fmt: skip
N_DRAWS = 500


def tabulate(runs: Sequence[ScoredRun]) -> list[Row]:
    """Average the folds of each network: one row per selection, validation-selected first.

    Runs of a network that hold out the same fold under different names get separate rows.
    """
    groups: dict[str, list[ScoredRun]] = {}
    for run in sorted(runs, key=lambda run: run.fold):
        # Equal for all folds of a cross-validation, even if trained by different versions.
        digests = (run.recipe.get("store_digest"), run.recipe.get("frames_digest"))
        network = (run.config.cross_validation, *digests, run.data)
        groups.setdefault(repr(network), []).append(run)
    networks = [row for group in groups.values() for row in _rows_of(group)]
    with progress("drawing clips for the intervals", 1) as advance:
        rows = [
            _average(group, selection)
            for group in networks
            for selection in sorted(group[0].scores.score)
        ]
        advance(1)
    return sorted(rows, key=_order)


def _rows_of(group: Sequence[ScoredRun]) -> list[list[ScoredRun]]:
    """Split a network's runs into rows, more than one if a fold was held out more than once."""
    rows: list[list[ScoredRun]] = []
    for run in sorted(group, key=lambda run: run.given_name):
        free = (row for row in rows if run.fold not in {other.fold for other in row})
        row = next(free, None)
        if row is None:
            rows.append(row := [])
        row.append(run)
    return [sorted(row, key=lambda run: run.fold) for row in rows]


def _order(row: Row) -> tuple[Any, ...]:
    snr_db = np.inf if row.runs[0].snr_db is None else row.runs[0].snr_db
    r = row.recipe
    config = row.runs[0].config
    network = MODELS.index(r["model"]), config.variant, r["width"], str(r["alpha"]), r["seed"]
    own = config.cross_validation, str(r.get("store_digest")), [run.name for run in row.runs]
    return (snr_db, *map(str, row.data), *network, *own, row.selection)


def _average(group: Sequence[ScoredRun], selection: str) -> Row:
    scored = [(run.scores.target, run.scores.score[selection]) for run in group]
    of_classes = [clip_metrics.by_class(*fold) for fold in scored]
    clips = [clip_metrics.evaluate(*scored[i], of_classes[i]) for i in range(len(group))]
    draws = [bootstrap(*fold, N_DRAWS, np.random.default_rng(0)) for fold in scored]
    priors = [_prior_metrics(run.scores) for run in group]
    metrics = {
        key: _over([fold[i] for fold in clips], [fold[i] for fold in draws])
        for i, key in enumerate(METRICS)
    }
    per_class = [fold._asdict() for fold in of_classes]
    kept = group if selection == "honest" else ()
    measured = [run.localisation for run in kept if run.localisation is not None]
    if len(measured) == len(group):
        values = [fold.values() for fold in measured]
        metrics |= {key: _over([fold[key] for fold in values]) for key in values[0]}
        per_class = [a | b.per_class() for a, b in zip(per_class, measured, strict=True)]
    else:
        measured = []
    denoised = [run.denoising for run in kept if run.denoising is not None]
    return Row(
        runs=tuple(group),
        selection=selection,
        metrics=metrics,
        measured=measured,
        per_class=_mean_where_known(per_class),
        counts=_counts([run.scores for run in group]),
        n_classes_scored=min(each.n_classes_scored for each in clips),
        prior_micro_p=float(np.mean([each.micro_p for each in priors])),
        prior_macro_p=float(np.mean([each.macro_p for each in priors])),
        denoising=Denoising.mean_of(denoised) if denoised else None,
        separation=_separation(kept),
    )


def _over(folds: Sequence[float], draws: Sequence[Values] | None = None) -> Average:
    """Average a metric over folds, from its value and (n_draws,) bootstrap draws of each."""
    std = float(np.std(folds, ddof=1)) if len(folds) > 1 else None
    drawn = None if draws is None else interval(np.mean(draws, axis=0))
    return Average(float(np.mean(folds)), std, drawn)


def _mean_where_known(folds: Sequence[Mapping[str, npt.ArrayLike]]) -> dict[str, Values]:
    """Mean of each metric over the folds in which it exists; NaN if there is none."""
    return {
        key: clip_metrics.mean_where_known([np.asarray(fold[key], np.float64) for fold in folds])
        for key in folds[0]
    }


def _counts(folds: Sequence[HeldOutScores]) -> dict[str, npt.NDArray[np.int64]]:
    """Positive clips and recordings per class, summed over folds, which share no recordings."""
    positives = np.zeros(len(folds[0].classes), np.int64)
    recordings = np.zeros_like(positives)
    for fold in folds:
        positives += fold.target.sum(axis=0, dtype=np.int64)
        pairs = zip(fold.events.label.tolist(), fold.events.source, strict=True)
        found = {(label, source) for label, source in pairs if source}
        if not found:  # unmixed recordings
            positive = np.argwhere(fold.target).tolist()
            found = {(label, fold.name[clip]) for clip, label in positive}
        np.add.at(recordings, [label for label, _ in found], 1)
    return {"positives": positives, "recordings": recordings}


def _prior_metrics(scores: HeldOutScores) -> clip_metrics.ClipMetrics:
    always = np.broadcast_to(scores.prior, scores.target.shape)
    return clip_metrics.evaluate(scores.target, always)


def _separation(
    runs: Sequence[ScoredRun],
) -> tuple[Mapping[str, Values], Mapping[str, Values]] | None:
    folds = [run.separability for run in runs if run.separability is not None]
    if not folds:
        return None
    n_classes = len(runs[0].scores.classes)
    return (
        _mean_where_known([fold.values() for fold in folds]),
        _mean_where_known([fold.per_class(n_classes) for fold in folds]),
    )


def as_json(rows: Sequence[Row]) -> dict[str, Any]:
    """The rows in the format of `eval --json`; undefined values are null."""
    return {"schema": SCHEMA, "rows": [_or_null(_json_row(row)) for row in rows]}


def _json_row(row: Row) -> dict[str, Any]:
    values: dict[str, Any] = {key: row.recipe[key] for key in FROM_RECIPE}
    values |= {"snr_db": row.runs[0].snr_db, "onsets": row.data.onsets, "on": row.data.on}
    values |= {"from": row.recipe.get("from"), "n_seen": [r.recipe.get("n_seen") for r in row.runs]}
    values |= {"known": row.known, "tasks": dict(row.runs[0].config.tasks)}
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
    counts = {key: each.tolist() for key, each in row.counts.items()}
    values["per_class"] |= _by_class(counts, row.classes)
    if row.denoising is not None:
        values["denoising"] = {k: each._asdict() for k, each in row.denoising._asdict().items()}
    if row.separation is not None:
        means, per_class = row.separation
        values["separation"] = {**means, "per_class": _by_class(per_class, row.classes)}
    return values


def _by_class(
    metrics: Mapping[str, Values | Sequence[int]], classes: Sequence[str]
) -> dict[str, dict[str, float]]:
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
