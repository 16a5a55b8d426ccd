"""The networks of a report: what they are called, and which of them are looked at closely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sedmtl.evaluation.rows import Row, ScoredData, ScoredRun, by_data
from sedmtl.metrics import confusion
from sedmtl.metrics.confusion import Confusion
from sedmtl.training.config import TrainConfig

MAX_DETAILED = 3
"""Up to so many networks are all looked at closely; of more, the best of each store."""

Record = Mapping[str, Any]
"""A line of `metrics.jsonl`."""


@dataclass(frozen=True)
class Network:
    """A network whose epochs were chosen on inner validation.

    Attributes:
        name: Different from that of any other network on the same data.
        row: Its results.
        records: Of each run, a record per epoch; none if they are lost.
    """

    name: str
    row: Row
    records: Sequence[Sequence[Record]]

    @property
    def runs(self) -> Sequence[ScoredRun]:
        """A run per fold."""
        return self.row.runs

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
            run.scores.score["honest"] > np.asarray(run.card.tag_threshold, np.float32)
            for run in self.runs
        ]
        return confusion.evaluate(target, np.concatenate(tagged))


def by_store(networks: Sequence[Network]) -> list[tuple[str, list[Network]]]:
    """The networks of each store, under its title."""
    return [(data.title, group) for data, group in by_data(networks)]


def choose_detailed(networks: Sequence[Network]) -> list[Network]:
    """Those to look at closely: all if they are few, else the best of each store by micro-P."""
    if len(networks) <= MAX_DETAILED:
        return list(networks)
    return [
        max(group, key=lambda n: n.row.metrics["micro_p"].mean) for _, group in by_store(networks)
    ]
