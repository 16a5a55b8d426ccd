"""The networks of a report, and the choice of those shown in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sedmtl.evaluation.differences import names_of
from sedmtl.evaluation.rows import Row, ScoredData, ScoredRun, by_data
from sedmtl.inference.runs import read_records
from sedmtl.metrics import confusion
from sedmtl.metrics.confusion import Confusion

MAX_DETAILED = 3
"""Up to this many networks are all shown in detail; if there are more, the best on each store."""

Record = Mapping[str, Any]
"""A line of `metrics.jsonl`."""


@dataclass(frozen=True)
class Network:
    """A network whose epochs were chosen on inner validation.

    Attributes:
        name: Unique among networks on the same data.
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
    def title(self) -> str:
        """Unique within a report."""
        return f"{self.name}, {self.data.title}"

    def confusion(self) -> Confusion:
        """Confusion over the held-out clips of all folds, tagged with each run's thresholds."""
        target = np.concatenate([run.scores.target for run in self.runs])
        tagged = [run.card.tagged(run.scores.score["honest"]) for run in self.runs]
        return confusion.evaluate(target, np.concatenate(tagged))


def networks_of(rows: Sequence[Row]) -> list[Network]:
    """The networks chosen by validation, with the records of their runs."""
    validated = [row for row in rows if row.is_validated]
    return [
        Network(name, row, [_epochs_of(run.folder) for run in row.runs])
        for row, name in zip(validated, names_of(validated), strict=True)
    ]


def choose_detailed(networks: Sequence[Network]) -> list[Network]:
    """Choose the networks to show in detail: all if few, else the best on each store by micro-P."""
    if len(networks) <= MAX_DETAILED:
        return list(networks)
    return [
        max(group, key=lambda n: n.row.metrics["micro_p"].mean) for _, group in by_data(networks)
    ]


def _epochs_of(folder: Path) -> list[Record]:
    """The epochs of a run; empty if its records are missing or damaged."""
    try:
        records = read_records(folder)
    except (OSError, ValueError):
        return []
    return records if all(map(_is_record, records)) else []


def _is_record(record: Any) -> bool:
    """Whether a record has all values of an epoch that the page shows."""
    if not isinstance(record, dict) or not isinstance(record.get("epoch"), int):
        return False
    scores = [record.get(part) for part in ("validation", "held_out")]
    numbers = [record.get("loss"), record.get("seconds", 0)]
    numbers += [part.get("micro_p") if isinstance(part, dict) else None for part in scores]
    return all(isinstance(number, int | float) for number in numbers)
