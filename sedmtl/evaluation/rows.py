"""The content of result tables: scored runs, and networks averaged over folds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from sedmtl.evaluation.denoising import Denoising
from sedmtl.evaluation.localisation import Localisation
from sedmtl.evaluation.paper import Reported, reported
from sedmtl.evaluation.separability import Separability
from sedmtl.inference.model_card import ModelCard
from sedmtl.metrics.annotation import Values
from sedmtl.runtime.text import counted
from sedmtl.store import HeldOutScores
from sedmtl.training.config import TrainConfig
from sedmtl.training.tasks import RECONSTRUCT

METRICS = ("micro_p", "macro_p", "auc")
"""Clip metrics, by the keys of `eval --json`."""


KNOWS_MORE = "†"
"""Marks networks that are not weakly supervised."""


class ScoredData(NamedTuple):
    """The scored data; networks scored on the same clips share a table and a figure.

    Attributes:
        store: Name of the store that the network was trained on.
        onsets: Onset rule of the scored store; None for unmixed recordings.
        on: The scored store, if it is not the training store.
        folds: The held-out folds, abbreviated.
        n_clips: Number of held-out clips.
        digest: Digest of their names and labels.
    """

    store: str
    onsets: str | None
    on: str
    folds: str = ""
    n_clips: int = 0
    digest: str = ""

    @property
    def title(self) -> str:
        """Description of the data for table titles."""
        scored = f", scored on {self.on}" if self.on else ""
        onsets = f", {self.onsets} onsets" if self.onsets else ""
        several = "s" * (not self.folds.isdecimal())
        clips = counted(self.n_clips, "clip")
        return f"{self.store}{scored}{onsets}, fold{several} {self.folds} ({clips})"

    @property
    def file_name(self) -> str:
        """The store and its onset rule, for file names."""
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
        on: The scored store, if it is not the training store.
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
        """The training configuration."""
        return TrainConfig.of(self.recipe)

    @property
    def fold(self) -> int:
        """The held-out fold."""
        return int(self.recipe["fold"])

    @property
    def given_name(self) -> str:
        """The name given by the user; empty if it is the default."""
        return "" if self.name == self.config.name else self.name

    @property
    def snr_db(self) -> float | None:
        """SNR of the mixtures; None for unmixed recordings."""
        snr_db: float | None = self.recipe.get("snr_db")
        return snr_db

    @property
    def data(self) -> ScoredData:
        """The scored data."""
        return ScoredData(self.recipe["data"], self.facts.get("onsets"), self.on)


class Average(NamedTuple):
    """A metric over the folds that were run.

    Attributes:
        mean: Mean over folds; NaN if undefined.
        std: Standard deviation over folds; None for a single fold.
        interval: 95 % interval from 500 bootstrap draws of each fold's clips; None without draws.
    """

    mean: float
    std: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Row:
    """One network under one selection, averaged over its folds.

    Attributes:
        runs: One run per fold, in order.
        selection: `honest`: the epoch was chosen on inner validation. `paper`: the best epoch on
            the reported fold itself, as in the paper; optimistic, and its network is not kept.
        metrics: Clip metrics by the keys of `eval --json`, and localisation metrics if there are
            any.
        measured: Localisation metrics of every fold; empty if the strong labels of a fold are
            unknown, or the network is not kept.
        per_class: (C,) metrics of each class, averaged over the folds where they exist.
        counts: (C,) `positives`, the number of held-out clips with the class, and `recordings`, the
            number of source recordings of its events or clips.
        n_classes_scored: Classes with a positive in the held-out fold (minimum over folds).
        prior_micro_p: Baseline: predicting the class frequencies of the training clips.
        prior_macro_p: The same for macro-P.
        denoising: Mean over the measured folds, for a network that is kept.
        separation: Likewise; means over sources, and over the sources of each class (C,).
    """

    runs: tuple[ScoredRun, ...]
    selection: str
    metrics: Mapping[str, Average]
    measured: Sequence[Localisation]
    per_class: Mapping[str, Values]
    counts: Mapping[str, npt.NDArray[np.int64]]
    n_classes_scored: int
    prior_micro_p: float
    prior_macro_p: float
    denoising: Denoising | None = None
    separation: tuple[Mapping[str, Values], Mapping[str, Values]] | None = None

    @property
    def is_validated(self) -> bool:
        """Whether it is validation-selected; only these networks are kept."""
        return self.selection == "honest"

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The runs' common settings (`run.yaml`)."""
        return self.runs[0].recipe

    @cached_property
    def data(self) -> ScoredData:
        """The scored data."""
        digest = hashlib.sha256()
        for run in self.runs:
            digest.update("\0".join(run.scores.name).encode(errors="surrogateescape"))
            digest.update(np.ascontiguousarray(run.scores.target).tobytes())
        n_clips = sum(len(run.scores.name) for run in self.runs)
        return self.runs[0].data._replace(
            folds=_short(self.folds), n_clips=n_clips, digest=digest.hexdigest()
        )

    @property
    def folds(self) -> tuple[int, ...]:
        """The held-out folds."""
        return tuple(run.fold for run in self.runs)

    @property
    def epochs(self) -> tuple[int, ...]:
        """The selected epoch of each fold."""
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
    def name(self) -> str:
        """Model and width, with a mark if it was trained with more than weak labels."""
        mark = KNOWS_MORE * bool(self.known)
        return f"{self.recipe['model']}/{self.recipe['width']}{mark}"

    @property
    def known(self) -> tuple[str, ...]:
        """Supervision used in addition to weak labels, as in `TrainConfig.known`."""
        return self.runs[0].config.known

    @property
    def reported(self) -> Reported | None:
        """The paper's results for this network on these data, if it has any."""
        run = self.runs[0]
        is_papers = not run.config.variant and run.config.tasks.keys() <= {RECONSTRUCT}
        if not self.is_of_paper_data or not is_papers or self.data.on:
            return None
        return reported(run.config.model, run.config.alpha, run.snr_db)

    @property
    def is_of_paper_data(self) -> bool:
        """Whether the corpora are of the same kinds as the paper's."""
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


def _short(folds: Sequence[int]) -> str:
    """`1-4` for consecutive folds, `1,3` for others."""
    first, last = folds[0], folds[-1]
    in_a_row = len(folds) > 2 and tuple(folds) == tuple(range(first, last + 1))
    return f"{first}-{last}" if in_a_row else ",".join(map(str, folds))
