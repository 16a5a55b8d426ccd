"""Scores of many runs -> rows of a results table: averaged over folds, under both selections."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from sedmtl.evaluation.localisation import Localisation
from sedmtl.evaluation.paper import Reported, reported
from sedmtl.metrics import clip as clip_metrics
from sedmtl.metrics.bootstrap import Values, bootstrap, interval
from sedmtl.models import MODELS
from sedmtl.runtime.documents import parse_yaml
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import HeldOutScores
from sedmtl.training.config import TrainConfig

SCHEMA = 1

RECORDED = ("fold", "config", "n_parameters", "sedmtl_version", "torch_version")
"""What `run.yaml` says that two folds of one cross-validation may differ in: which fold it is, and
facts that were noted down beside the settings."""

FROM_RECIPE = ("data", "model", "attention", "time_attention", "reconstruction", "alpha", "width",
               "seed", "n_parameters")  # fmt: skip
METRICS = ("micro_p", "macro_p", "auc")
N_DRAWS = 500


@dataclass(frozen=True)
class ScoredRun:
    """A finished run: its name, its recipe (`run.yaml`), its held-out scores.

    Attributes:
        config: Text of the data.yaml of the store that was scored.
        localisation: Where its strong labels are known.
        on: The store that was scored, if it is another than the one trained on.
    """

    name: str
    recipe: Mapping[str, Any]
    scores: HeldOutScores
    config: str
    localisation: Localisation | None = None
    on: str = ""


@dataclass(frozen=True)
class Average:
    """A metric over the folds that were run.

    Attributes:
        mean: Over folds; NaN where it does not exist.
        std: Over folds; None of a single one.
        interval: 95 % of the means over 500 draws of the clips of each fold; None where no clips
            were drawn.
    """

    mean: float
    std: float | None
    interval: tuple[float, float] | None


class ScoredData(NamedTuple):
    """What identifies the data of a row: rows of the same data share a table and a picture.

    Attributes:
        store: Name of the store that the network was trained on.
        onsets: Rule of the onsets in the store that was scored; None where nothing was mixed.
        on: The store that was scored, if it is another than the one trained on.
    """

    store: str
    onsets: str | None
    on: str

    @property
    def title(self) -> str:
        """For the tables."""
        scored = f", scored on {self.on}" if self.on else ""
        onsets = f", {self.onsets} onsets" if self.onsets else ""
        return f"{self.store}{scored}{onsets}"

    @property
    def file_name(self) -> str:
        """For files of the project that are about these data; no two of one project are alike."""
        if self.on:
            return f"{self.store}_on_{self.onsets or 'another'}"
        return f"{self.store}_random" if self.onsets == "random" else self.store


class AboutData(Protocol):
    """What is about scored data."""

    @property
    def data(self) -> ScoredData:
        """What was scored."""


T = TypeVar("T", bound=AboutData)


def by_data(items: Iterable[T]) -> list[tuple[ScoredData, list[T]]]:
    """Group by what was scored: in the order in which it comes up first."""
    groups: dict[ScoredData, list[T]] = {}
    for item in items:
        groups.setdefault(item.data, []).append(item)
    return list(groups.items())


@dataclass(frozen=True)
class Row:
    """One network under one selection, averaged over the folds that were run.

    Attributes:
        recipe: What the runs have in common (`run.yaml`).
        data: What was scored.
        folds: The held-out folds.
        selection: `honest`: epoch chosen on inner validation. `paper`: the best epoch on the very
            fold that is reported, as in the paper; optimistic.
        epochs: The chosen epoch of each fold.
        n_classes_scored: Classes with a positive in their held-out fold (least over the folds).
        prior_micro_p: What always answering the training clips' class frequencies scores.
        localisation: The metrics of `Localisation.values`, averaged over folds; empty where strong
            labels are not known, and under the paper's selection, whose network is not kept.
        per_class: (C,) metrics of each class, averaged over the folds where they exist.
        measured: The localisation of each fold, curves and all.
        config: Text of the data.yaml of the store that was scored.
        runs: Names of the runs.
    """

    recipe: Mapping[str, Any]
    data: ScoredData
    folds: tuple[int, ...]
    selection: str
    epochs: tuple[int, ...]
    micro_p: Average
    macro_p: Average
    auc: Average
    n_classes: int
    n_classes_scored: int
    prior_micro_p: float
    prior_macro_p: float
    classes: tuple[str, ...]
    localisation: Mapping[str, Average]
    per_class: Mapping[str, npt.NDArray[np.float64]]
    measured: tuple[Localisation, ...]
    config: str
    runs: tuple[str, ...]

    @property
    def snr_db(self) -> float | None:
        """None for recordings that were not mixed."""
        return _snr_db(self.recipe)

    @property
    def averages(self) -> tuple[Average, Average, Average]:
        """micro-P, macro-P, AUC."""
        return self.micro_p, self.macro_p, self.auc

    @property
    def reported(self) -> Reported | None:
        """The paper's figures of this network on these data, if it printed any."""
        r = self.recipe
        in_form = not TrainConfig.of(r).network.variant
        comparable = self.is_of_paper_data and in_form and not self.data.on
        return reported(r["model"], r["alpha"], self.snr_db) if comparable else None

    @property
    def is_of_paper_data(self) -> bool:
        """Whether the corpora are laid out as the paper's are."""
        kinds = [_setting(self.config, "corpus", part, "kind") for part in ("events", "scenes")]
        return kinds == ["fsdkaggle2018", "tau2019"]


def _snr_db(recipe: Mapping[str, Any]) -> float | None:
    data: str = recipe["data"]
    return float(data.removeprefix("snr_")) if data.startswith("snr_") else None


def _data_of(run: ScoredRun) -> ScoredData:
    onsets = _setting(run.config, "mixing", "onsets") if _snr_db(run.recipe) is not None else None
    rule = onsets if isinstance(onsets, str | None) else "fixed"
    return ScoredData(run.recipe["data"], rule, run.on)


def _setting(config: str, *keys: str) -> Any:
    """What the text of a data.yaml says there; None if it says nothing."""
    value = _parsed(config)
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


@lru_cache
def _parsed(config: str) -> Any:
    """Once, although every row asks its runs' copies of one data.yaml again and again: 3 ms."""
    try:
        return parse_yaml(config)
    except ValueError as error:
        raise SedmtlError(f"a run's copy of its data.yaml is damaged ({error})") from error


def tabulate(runs: Sequence[ScoredRun]) -> list[Row]:
    """Average the folds of each network; a row a selection, honest first.

    Raises:
        SedmtlError: Two of the runs are the same fold of the same network.
    """
    groups: dict[str, list[ScoredRun]] = {}
    for run in runs:
        groups.setdefault(_group_key(run), []).append(run)
    rows = []
    for group in groups.values():
        group.sort(key=lambda run: int(run.recipe["fold"]))
        _check_folds(group)
        rows += [_average(group, selection) for selection in sorted(group[0].scores.score)]
    return sorted(rows, key=_order)


def as_json(rows: Sequence[Row]) -> dict[str, Any]:
    """The rows as `eval --json` writes them; a value that does not exist is null."""
    return {"schema": SCHEMA, "rows": [_json_row(row) for row in rows]}


def _json_row(row: Row) -> dict[str, Any]:
    values: dict[str, Any] = {key: row.recipe[key] for key in FROM_RECIPE}
    values |= {"snr_db": row.snr_db, "onsets": row.data.onsets, "on": row.data.on}
    values |= {"folds": row.folds, "selection": row.selection, "epochs": row.epochs}
    for key, average in zip(METRICS, row.averages, strict=True):
        values[key], values[f"{key}_std"] = _or_null(average.mean), _or_null(average.std)
        values[f"{key}_interval"] = [_or_null(end) for end in average.interval or ()]
        values[f"paper_{key}"] = getattr(row.reported, key, None)
    values |= {"n_classes": row.n_classes, "n_classes_scored": row.n_classes_scored}
    values |= {"prior_micro_p": _or_null(row.prior_micro_p)}
    values |= {"prior_macro_p": _or_null(row.prior_macro_p), "runs": row.runs}
    for key, average in row.localisation.items():
        values[key], values[f"{key}_std"] = _or_null(average.mean), _or_null(average.std)
    values["per_class"] = {
        key: dict(zip(row.classes, map(_or_null, each.tolist()), strict=True))
        for key, each in row.per_class.items()
    }
    return values


def _or_null(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else value


def _order(row: Row) -> tuple[Any, ...]:
    snr_db = np.inf if row.snr_db is None else row.snr_db
    r = row.recipe
    network = MODELS.index(r["model"]), TrainConfig.of(r).network.variant
    return (snr_db, *map(str, row.data), *network, r["width"], str(r["alpha"]), r["seed"],
            row.runs, row.selection)  # fmt: skip


def _group_key(run: ScoredRun) -> str:
    """The folds of one cross-validation share it, whatever versions trained them."""
    of_run = TrainConfig.of(run.recipe).cross_validation
    return repr((of_run, run.recipe.get("store_digest"), _data_of(run)))


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
    metrics = [clip_metrics.evaluate(r.scores.target, r.scores.score[selection]) for r in group]
    priors = [_prior_metrics(run.scores) for run in group]
    draws = [
        bootstrap(run.scores.target, run.scores.score[selection], N_DRAWS, np.random.default_rng(0))
        for run in group
    ]
    micro_p, macro_p, auc = (
        _average_of([m[i] for m in metrics], [folds[i] for folds in draws]) for i in range(3)
    )
    measured = _measured(group, selection)
    return Row(
        recipe=group[0].recipe,
        data=_data_of(group[0]),
        folds=tuple(int(run.recipe["fold"]) for run in group),
        selection=selection,
        epochs=tuple(run.scores.epoch[selection] for run in group),
        micro_p=micro_p,
        macro_p=macro_p,
        auc=auc,
        n_classes=len(group[0].scores.classes),
        n_classes_scored=min(each.n_classes_scored for each in metrics),
        prior_micro_p=float(np.mean([each.micro_p for each in priors])),
        prior_macro_p=float(np.mean([each.macro_p for each in priors])),
        classes=tuple(group[0].scores.classes),
        localisation=_localisation(measured),
        per_class=_per_class(group, selection, measured),
        measured=measured,
        config=group[0].config,
        runs=tuple(run.name for run in group),
    )


def _average_of(values: Sequence[float], draws: Sequence[Values] | None = None) -> Average:
    """Of one metric: its value and its draws, an item a fold."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    drawn = None if draws is None else interval(np.mean(draws, axis=0))
    return Average(float(np.mean(values)), std, drawn)


def _measured(group: Sequence[ScoredRun], selection: str) -> tuple[Localisation, ...]:
    """The localisation of every fold, or nothing if one lacks it."""
    measured = tuple(run.localisation for run in group if run.localisation is not None)
    return measured if selection == "honest" and len(measured) == len(group) else ()


def _localisation(measured: Sequence[Localisation]) -> dict[str, Average]:
    folds = [each.values() for each in measured]
    return {key: _average_of([fold[key] for fold in folds]) for key in (folds[0] if folds else ())}


def _per_class(
    group: Sequence[ScoredRun], selection: str, measured: Sequence[Localisation]
) -> dict[str, npt.NDArray[np.float64]]:
    """Of each class: the mean over the folds in which the metric exists, NaN if there is none."""
    folds = [
        {"ap": clip_metrics.average_precision(run.scores.target, run.scores.score[selection]),
         "auc": clip_metrics.roc_auc(run.scores.target, run.scores.score[selection])}
        for run in group
    ]  # fmt: skip
    for fold, localisation in zip(folds, measured, strict=False):
        fold |= localisation.per_class()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a class that no fold has is NaN
        return {key: np.nanmean([fold[key] for fold in folds], axis=0) for key in folds[0]}


def _prior_metrics(scores: HeldOutScores) -> clip_metrics.ClipMetrics:
    always = np.broadcast_to(scores.prior, scores.target.shape)
    return clip_metrics.evaluate(scores.target, always)
