"""Stages measured: the sides of each take turns, and their laps become one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from bench.lap import Lap
from bench.settings import Settings
from bench.stages import Stage
from bench.worker import Side, Worker


@dataclass(frozen=True)
class Measured:
    """What the laps of one side say.

    Attributes:
        seconds: An item, of each lap.
        audio_s: Audio an item.
        peak_mb: Peak of resident memory of its process.
        notes: Of the last lap.
    """

    seconds: tuple[float, ...]
    audio_s: float
    peak_mb: float
    notes: dict[str, float]

    @classmethod
    def of(cls, laps: Sequence[Lap], peak_mb: float) -> Measured:
        """Gather the laps of a side."""
        seconds = tuple(lap.seconds / lap.n_items for lap in laps)
        return cls(seconds, laps[-1].audio_s / laps[-1].n_items, peak_mb, dict(laps[-1].notes))

    @property
    def median_s(self) -> float:
        """An item."""
        return median(self.seconds)


@dataclass(frozen=True)
class Row:
    """A stage's figures; None where there is nothing to compare with.

    Attributes:
        ratio: How many times as fast as the reference.
        of_limit: Time at the limit over time taken.
    """

    stage: str
    unit: str
    ours: float
    reference: float | None
    ratio: float | None
    real_time: float | None
    peak_mb: float
    reference_peak_mb: float | None
    of_limit: float | None
    sides: dict[str, Measured]


def measure(stage: Stage, settings: Settings, say: Callable[[str], None]) -> Row:
    """Run a stage's sides in turn, each in a process of its own.

    Raises:
        RuntimeError: A side failed.
    """
    named = {"ours": stage.ours, "reference": stage.reference, "limit": stage.limit}
    sides = {name: side for name, side in named.items() if side}
    laps: dict[str, list[Lap]] = {name: [] for name in sides}
    with ExitStack() as stack:
        say(f"{stage.name}: preparing")
        workers = {
            name: stack.enter_context(Worker(side, settings)) for name, side in sides.items()
        }
        n_laps = min(stage.n_laps, settings.laps)
        for number in range(-stage.n_warm, n_laps):
            say(f"{stage.name}: " + (f"lap {number + 1} of {n_laps}" if number >= 0 else "warming"))
            for name, worker in workers.items():
                lap = worker.lap()
                laps[name] += [lap] if number >= 0 else []
        return row_of(
            stage, {name: Measured.of(laps[name], workers[name].peak_mb) for name in sides}
        )


def survey(settings: Settings) -> dict[str, float]:
    """The machine's limits."""
    with Worker(Side("limits:survey"), settings) as worker:
        return dict(worker.lap().notes)


def row_of(stage: Stage, sides: dict[str, Measured]) -> Row:
    """The figures that people compare."""
    ours, reference, limit = sides["ours"], sides.get("reference"), sides.get("limit")
    return Row(
        stage=stage.name,
        unit=stage.unit,
        ours=_figure(stage, ours),
        reference=_figure(stage, reference) if reference else None,
        ratio=reference.median_s / ours.median_s if reference else None,
        real_time=ours.audio_s / ours.median_s if ours.audio_s else None,
        peak_mb=ours.peak_mb,
        reference_peak_mb=reference.peak_mb if reference else None,
        of_limit=limit.median_s / ours.median_s if limit else None,
        sides=sides,
    )


def _figure(stage: Stage, side: Measured) -> float:
    return side.median_s if stage.unit == "s" else 1 / side.median_s
