"""A run as Python sees it: its folder, its epochs, its network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sedmtl.inference.detector import Detector
from sedmtl.inference.runs import read_run
from sedmtl.metrics.clip import ClipMetrics
from sedmtl.runtime.documents import parse_json
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.regular import read_text


@dataclass(frozen=True)
class Epoch:
    """What an epoch of training came to: a line of `metrics.jsonl`.

    Attributes:
        number: From 1.
        n_epochs: Of the whole run.
        lr: The learning rate at its beginning.
        loss: Of the training clips: detection, and the auxiliary tasks with their weights.
        validation: Clip metrics on inner validation, by which the epoch is chosen.
        held_out: Clip metrics on the held-out fold; None if there is none. They are for reporting:
            whoever stops or chooses by them reports too high a score.
        seconds: It took.
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
            KeyError, TypeError: It is none.
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
    """Raised by `on_epoch` to make the epoch that it was called with the last of its run.

    The run is finished from what it has: thresholds are tuned, and the network is that of the best
    epoch so far. `run.yaml` notes the epoch as `stopped_after`.
    """


def is_last(record: Mapping[str, Any], n_epochs: int, on_epoch: OnEpoch | None) -> bool:
    """Whether a run is to end with this line of `metrics.jsonl`, before its last epoch."""
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
        path: Its folder, which holds all that prediction needs.
    """

    path: Path

    @property
    def epochs(self) -> list[Epoch]:
        """What each epoch came to.

        Raises:
            SedmtlError: The folder's files are missing or damaged.
        """
        n_epochs = read_run(self.path)["epochs"]
        try:
            lines = read_text(self.path / "metrics.jsonl").splitlines()
            return [Epoch.of(parse_json(line), n_epochs) for line in lines]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise SedmtlError(
                f"{self.path / 'metrics.jsonl'} is missing or damaged: train the run again"
            ) from error

    @property
    def best(self) -> Epoch:
        """The epoch whose network is kept: the best on inner validation, the first of equals."""
        return max(self.epochs, key=lambda epoch: epoch.validation.micro_p)

    def load(self, device: str = "cpu") -> Detector:
        """The network of that epoch, ready to predict.

        Raises:
            SedmtlError: The folder's files are missing or damaged.
        """
        return Detector.load(self.path, device)
