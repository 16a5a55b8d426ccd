"""The content of result tables: scored runs, their averages over folds, and names for both."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from sedmtl.evaluation.denoising import Denoising
from sedmtl.evaluation.localisation import Localisation
from sedmtl.evaluation.paper import Reported, reported
from sedmtl.evaluation.separability import Separability
from sedmtl.inference.model_card import ModelCard
from sedmtl.metrics.bootstrap import Values, interval
from sedmtl.store import HeldOutScores
from sedmtl.training.config import TrainConfig

METRICS = ("micro_p", "macro_p", "auc")
"""Clip metrics, by the keys of `eval --json`."""


class ScoredData(NamedTuple):
    """The scored data; rows of the same data share a table and a figure.

    Attributes:
        store: Name of the store that the network was trained on.
        onsets: Rule of the onsets in the scored store; None if nothing was mixed.
        on: The scored store, if it is not the one trained on.
    """

    store: str
    onsets: str | None
    on: str

    @property
    def title(self) -> str:
        """The data in the titles of tables."""
        scored = f", scored on {self.on}" if self.on else ""
        onsets = f", {self.onsets} onsets" if self.onsets else ""
        return f"{self.store}{scored}{onsets}"

    @property
    def file_name(self) -> str:
        """The data in file names; unique within a project."""
        if self.on:
            return f"{self.store}_on_{self.onsets or 'another'}"
        return f"{self.store}_random" if self.onsets == "random" else self.store


@dataclass(frozen=True)
class ScoredRun:
    """A finished run and its scores on the held-out fold.

    Attributes:
        folder: The run folder.
        recipe: Its `run.yaml`.
        card: Its `model.json`.
        scores: Scores on the held-out fold.
        facts: Attributes of the scored store.
        on: The scored store, if it is not the one trained on.
        localisation: Localisation metrics, if strong labels are known.
        denoising: Measurements of its decoder, if requested and if it has one.
        separability: Measurements of its masks, if requested.
    """

    folder: Path
    recipe: Mapping[str, Any]
    card: ModelCard
    scores: HeldOutScores
    facts: Mapping[str, Any]
    on: str = ""
    localisation: Localisation | None = None
    denoising: Denoising | None = None
    separability: Separability | None = None

    @property
    def name(self) -> str:
        """Name of the run folder."""
        return self.folder.name

    @property
    def config(self) -> TrainConfig:
        """The settings of the training."""
        return TrainConfig.of(self.recipe)

    @property
    def fold(self) -> int:
        """The held-out fold."""
        return int(self.recipe["fold"])

    @property
    def snr_db(self) -> float | None:
        """SNR of the mixtures; None for recordings that were not mixed."""
        snr_db: float | None = self.recipe.get("snr_db")
        return snr_db

    @property
    def data(self) -> ScoredData:
        """The scored data."""
        return ScoredData(self.recipe["data"], self.facts.get("onsets"), self.on)


@dataclass(frozen=True)
class Average:
    """A metric over the folds that were run.

    Attributes:
        mean: Mean over folds; NaN if undefined.
        std: Standard deviation over folds; None for a single fold.
        interval: 95 % interval from 500 draws of the clips of each fold; None without draws.
    """

    mean: float
    std: float | None
    interval: tuple[float, float] | None

    @classmethod
    def over(cls, folds: Sequence[float], draws: Sequence[Values] | None = None) -> Average:
        """Average a metric over folds.

        Args:
            folds: Its value in each fold.
            draws: (n_draws,) its values in the draws of each fold.
        """
        std = float(np.std(folds, ddof=1)) if len(folds) > 1 else None
        drawn = None if draws is None else interval(np.mean(draws, axis=0))
        return cls(float(np.mean(folds)), std, drawn)


@dataclass(frozen=True)
class Row:
    """One network under one selection, averaged over its folds.

    Attributes:
        runs: One run per fold, in order.
        selection: `honest`: the epoch was chosen on inner validation. `paper`: the best epoch on
            the reported fold itself, as in the paper; optimistic.
        metrics: Clip metrics by the keys of `eval --json`, and localisation metrics if there are
            any.
        measured: Localisation metrics of every fold; empty if the strong labels of a fold are
            unknown, or the selection is `paper`, whose network is not kept.
        per_class: (C,) metrics of each class, averaged over the folds where they exist.
        n_classes_scored: Classes with a positive in the held-out fold (least over the folds).
        prior_micro_p: Baseline: predicting the class frequencies of the training clips.
    """

    runs: tuple[ScoredRun, ...]
    selection: str
    metrics: Mapping[str, Average]
    measured: Sequence[Localisation]
    per_class: Mapping[str, npt.NDArray[np.float64]]
    n_classes_scored: int
    prior_micro_p: float
    prior_macro_p: float

    @property
    def is_validated(self) -> bool:
        """Whether its epochs were chosen on inner validation; only those networks are kept."""
        return self.selection == "honest"

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The common settings of the runs (`run.yaml`)."""
        return self.runs[0].recipe

    @property
    def data(self) -> ScoredData:
        """The scored data."""
        return self.runs[0].data

    @property
    def folds(self) -> tuple[int, ...]:
        """The held-out folds."""
        return tuple(run.fold for run in self.runs)

    @property
    def epochs(self) -> tuple[int, ...]:
        """The chosen epoch of each fold."""
        return tuple(run.scores.epoch[self.selection] for run in self.runs)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(self.runs[0].scores.classes)

    @property
    def averages(self) -> tuple[Average, ...]:
        """micro-P, macro-P, AUC."""
        return tuple(self.metrics[key] for key in METRICS)

    @property
    def denoising(self) -> Denoising | None:
        """Mean over the measured folds, for the kept network."""
        folds = [run.denoising for run in self.runs if run.denoising is not None]
        return Denoising.mean_of(folds) if folds and self.is_validated else None

    @property
    def separation(self) -> tuple[Mapping[str, Values], Mapping[str, Values]] | None:
        """Means over the measured folds, and the same for each class."""
        folds = [run.separability for run in self.runs if run.separability is not None]
        if not folds or not self.is_validated:
            return None
        n_classes = len(self.classes)
        values, of_classes = [f.values() for f in folds], [f.per_class(n_classes) for f in folds]
        return mean_where_known(values), mean_where_known(of_classes)

    @property
    def name(self) -> str:
        """Model and width."""
        return f"{self.recipe['model']}/{self.recipe['width']}"

    @property
    def variant(self) -> str:
        """What distinguishes networks of the same name: options other than the defaults, seed."""
        config = self.runs[0].config
        return " ".join([*config.network.variant, *([f"seed {config.seed}"] * (config.seed != 0))])

    @property
    def full_name(self) -> str:
        """Model, width and variant."""
        return f"{self.name} {self.variant}".rstrip()

    @property
    def full_name_and_alpha(self) -> str:
        """The full name, with α if the network has an auxiliary task."""
        has_task = self.runs[0].config.network.task_modules
        return f"{self.full_name}, α {self.recipe['alpha']}" if has_task else self.full_name

    @property
    def reported(self) -> Reported | None:
        """The paper's results for this network on these data, if it has any."""
        run = self.runs[0]
        if not self.is_of_paper_data or run.config.network.variant or self.data.on:
            return None
        return reported(run.config.model, run.config.alpha, run.snr_db)

    @property
    def is_of_paper_data(self) -> bool:
        """Whether the corpora have the layout of the paper's."""
        facts = self.runs[0].facts
        kinds = (facts.get("event_corpus"), facts.get("scene_corpus"))
        return kinds == ("fsdkaggle2018", "tau2019")


class _AboutData(Protocol):
    @property
    def data(self) -> ScoredData: ...


T = TypeVar("T", bound=_AboutData)


def by_data(items: Iterable[T]) -> list[tuple[ScoredData, list[T]]]:
    """Group by scored data, in order of first appearance."""
    groups: dict[ScoredData, list[T]] = {}
    for item in items:
        groups.setdefault(item.data, []).append(item)
    return list(groups.items())


def names_of(rows: Sequence[Row]) -> list[str]:
    """Unique names of the networks on the same data, under one selection.

    Networks that would have the same name have that of their first run.
    """
    names = [(row.data, row.full_name_and_alpha) for row in rows]
    n_times = Counter(names)
    return [
        row.runs[0].name if n_times[name] > 1 else name[1]
        for row, name in zip(rows, names, strict=True)
    ]


def mean_where_known(folds: Sequence[Mapping[str, npt.ArrayLike]]) -> dict[str, Values]:
    """Mean of each metric over the folds in which it exists; NaN if there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a class without clips is NaN
        return {
            key: np.nanmean([np.asarray(fold[key], np.float64) for fold in folds], axis=0)
            for key in folds[0]
        }
