"""A run in Python: its folder, epochs and network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sedmtl.inference.detector import Detector
from sedmtl.inference.runs import read_records, read_run
from sedmtl.metrics.clip import ClipMetrics
from sedmtl.runtime.errors import SedmtlError


@dataclass(frozen=True)
class Epoch:
    """Results of an epoch: a line of `metrics.jsonl`.

    Attributes:
        number: Number of the epoch, from 1.
        n_epochs: Epochs of the whole run.
        lr: Learning rate at the start of the epoch.
        loss: Mean training loss: detection plus weighted auxiliary tasks.
        validation: Clip metrics on inner validation, which select the epoch.
        held_out: Clip metrics on the held-out fold; None if there is none. For reporting only:
            stopping or selecting by them inflates the reported score.
        seconds: Duration of the epoch.
    """

    number: int
    n_epochs: int
    lr: float
    loss: float
    validation: ClipMetrics
    held_out: ClipMetrics | None
    seconds: float

    @classmethod
    def of(cls, record: Mapping[str, Any], n_epochs: int) -> Epoch:
        """Read a line of `metrics.jsonl`.

        Raises:
            KeyError, TypeError: The record is malformed.
        """
        return cls(
            number=record["epoch"],
            n_epochs=n_epochs,
            lr=record["lr"],
            loss=record["loss"],
            validation=ClipMetrics(**record["validation"]),
            held_out=ClipMetrics(**record["held_out"]) if "held_out" in record else None,
            seconds=record["seconds"],
        )


OnEpoch = Callable[[Epoch], object]


class StopTraining(Exception):  # noqa: N818 - no error
    """Raised by `on_epoch` to end the run after the epoch that it was called with.

    The run is finalized with the best epoch so far, including threshold tuning. `run.yaml` records
    the epoch as `stopped_after`.
    """


def is_last(record: Mapping[str, Any], n_epochs: int, on_epoch: OnEpoch | None) -> bool:
    """Call `on_epoch` with a line of `metrics.jsonl`; returns whether it stopped the run."""
    if on_epoch is None:
        return False
    try:
        on_epoch(Epoch.of(record, n_epochs))
    except StopTraining:
        return True
    return False


@dataclass(frozen=True)
class Run:
    """A trained run.

    Attributes:
        path: Its folder, which contains everything needed for prediction.
    """

    path: Path

    @property
    def epochs(self) -> list[Epoch]:
        """Results of each epoch.

        Raises:
            SedmtlError: The folder's files are missing or damaged.
        """
        n_epochs = read_run(self.path)["epochs"]
        try:
            return [Epoch.of(record, n_epochs) for record in read_records(self.path)]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise SedmtlError(
                f"{self.path / 'metrics.jsonl'} is missing or damaged: train the run again"
            ) from error

    @property
    def best(self) -> Epoch:
        """The epoch whose network is kept: the first with the best validation micro-P."""
        return max(self.epochs, key=lambda epoch: epoch.validation.micro_p)

    def load(self, device: str = "cpu") -> Detector:
        """Load the network of the best epoch for prediction.

        Raises:
            SedmtlError: The folder's files are missing or damaged.
        """
        return Detector.load(self.path, device)
