"""The networks of a report: what they are called, and which of them are looked at closely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sedmtl.evaluation.aggregate import Row, ScoredData, ScoredRun, by_data
from sedmtl.inference.checkpoint import ModelCard
from sedmtl.metrics import confusion
from sedmtl.metrics.confusion import Confusion
from sedmtl.training.config import TrainConfig

MAX_DETAILED = 3
"""Up to so many networks are all looked at closely; of more, the best of each store."""

Record = Mapping[str, Any]
"""A line of `metrics.jsonl`."""


@dataclass(frozen=True)
class Network:
    """A network under the honest selection, with its runs.

    Attributes:
        name: Different from that of any other network on the same store.
        row: Its results.
        runs: A run a fold, in the order of `row.folds`.
        cards: Of the runs.
        records: Of each run, a record an epoch; none if they are lost.
    """

    name: str
    row: Row
    runs: Sequence[ScoredRun]
    cards: Sequence[ModelCard]
    records: Sequence[Sequence[Record]]

    @property
    def data(self) -> ScoredData:
        """What was scored."""
        return self.row.data

    @property
    def low_may_mean_present(self) -> bool:
        """Whether a low frame score of it may mean that the class sounds."""
        return TrainConfig.of(self.row.recipe).network.frame_meaning == "signed"

    def confusion(self) -> Confusion:
        """Over the held-out clips of all its folds, each tagged by its own run's thresholds."""
        target = np.concatenate([run.scores.target for run in self.runs])
        tagged = [
            run.scores.score["honest"] > np.asarray(card.tag_threshold, np.float32)
            for run, card in zip(self.runs, self.cards, strict=True)
        ]
        return confusion.evaluate(target, np.concatenate(tagged))


def by_store(networks: Sequence[Network]) -> list[tuple[str, list[Network]]]:
    """The networks of each store, under its title."""
    return [(data.title, group) for data, group in by_data(networks)]


def choose_detailed(networks: Sequence[Network]) -> list[Network]:
    """Those to look at closely: all if they are few, else the best of each store by micro-P."""
    if len(networks) <= MAX_DETAILED:
        return list(networks)
    return [max(group, key=lambda n: n.row.micro_p.mean) for _, group in by_store(networks)]
