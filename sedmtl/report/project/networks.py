"""The networks of a report, and the choice of those shown in detail."""

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
"""Up to this many networks are all shown in detail; of more, the best on each store."""

Record = Mapping[str, Any]
"""A line of `metrics.jsonl`."""


@dataclass(frozen=True)
class Network:
    """A network whose epochs were chosen on inner validation.

    Attributes:
        name: Unique among networks on the same data.
        row: Its results.
        records: One record per epoch for each run; none if they are missing.
    """

    name: str
    row: Row
    records: Sequence[Sequence[Record]]

    @property
    def runs(self) -> Sequence[ScoredRun]:
        """One run per fold."""
        return self.row.runs

    @property
    def data(self) -> ScoredData:
        """The scored data."""
        return self.row.data

    @property
    def low_may_mean_present(self) -> bool:
        """Whether a low frame score may mean that the class is present."""
        return TrainConfig.of(self.row.recipe).network.frame_meaning == "signed"

    def confusion(self) -> Confusion:
        """Confusion over the held-out clips of all folds, tagged with each run's thresholds."""
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
    """The networks to show in detail: all if few, else the best on each store by micro-P."""
    if len(networks) <= MAX_DETAILED:
        return list(networks)
    return [
        max(group, key=lambda n: n.row.metrics["micro_p"].mean) for _, group in by_store(networks)
    ]
