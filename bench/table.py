"""Stages measured into rows, and the table of them: for a terminal, as Markdown, as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median
from textwrap import wrap
from typing import Any

from bench.project import Settings
from bench.runner import Lap, worker
from bench.stages import FAMILIES, Stage

HEADER = ("stage", "ours", "reference", "ratio", "x real time", "peak MB", "ref. MB", "of limit")
WIDTH = 100
"""Columns of a terminal that everything fits into."""

ABOUT = (
    "ours and reference: medians of alternating laps; ratio: times as fast as the reference; "
    "peak MB: resident memory of a process that does nothing else; of limit: time at the limit "
    "over time taken."
)


@dataclass(frozen=True)
class Measured:
    """The laps of one side, per item; `notes` and `peak_mb` after the last."""

    seconds: tuple[float, ...]
    audio_s: float
    notes: Mapping[str, float]
    peak_mb: float

    @classmethod
    def of(cls, laps: Sequence[Lap]) -> Measured:
        """Gather laps."""
        seconds, last = tuple(lap.seconds / lap.n_items for lap in laps), laps[-1]
        return cls(seconds, last.audio_s / last.n_items, last.notes, last.peak_mb)


@dataclass(frozen=True)
class Row:
    """A stage's figures; None where there is nothing to compare with.

    Attributes:
        ratio: Times as fast as the reference.
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
    sides: Mapping[str, Measured]

    @classmethod
    def of(cls, stage: Stage, sides: Mapping[str, Measured]) -> Row:
        """Compare the medians of the sides."""
        ours, reference = sides["ours"], sides.get("reference")
        seconds = {name: median(side.seconds) for name, side in sides.items()}
        per_ours = {name: value / seconds["ours"] for name, value in seconds.items()}
        figures = seconds if stage.unit == "s" else {name: 1 / s for name, s in seconds.items()}
        return cls(
            stage=stage.name,
            unit=stage.unit,
            ours=figures["ours"],
            reference=figures.get("reference"),
            ratio=per_ours.get("reference"),
            real_time=ours.audio_s / seconds["ours"] if ours.audio_s else None,
            peak_mb=ours.peak_mb,
            reference_peak_mb=reference.peak_mb if reference else None,
            of_limit=per_ours.get("limit"),
            sides=sides,
        )

    def cells(self) -> tuple[str, ...]:
        """As text, in the order of the header."""
        figures = (self.ours, self.reference, self.ratio, self.real_time, self.peak_mb)
        of_limit = f"{self.of_limit:.0%}" if self.of_limit is not None else "–"
        numbers = map(_number, (*figures, self.reference_peak_mb))
        return (f"{self.stage} ({self.unit})", *numbers, of_limit)

    def notes(self) -> list[str]:
        """Further figures, the reference's in brackets."""
        reference = self.sides["reference"].notes if "reference" in self.sides else {}
        return [
            f"{self.stage}: {_number(value)} {what}"
            + (f" (reference: {_number(reference[what])})" if what in reference else "")
            for what, value in self.sides["ours"].notes.items()
        ]


def measure(stage: Stage, settings: Settings, say: Callable[[str], None]) -> Row:
    """Run a stage's sides in turn, each in a process of its own.

    Raises:
        RuntimeError: A side failed.
    """
    laps: dict[str, list[Lap]] = {name: [] for name in stage.sides}
    with ExitStack() as stack:
        say(f"{stage.name}: preparing")
        workers = [stack.enter_context(worker(side, settings)) for side in stage.sides.values()]
        n_laps = min(stage.n_laps, settings.laps)
        for number in range(1 - stage.n_warm, n_laps + 1):
            say(f"{stage.name}: " + (f"lap {number} of {n_laps}" if number > 0 else "warming up"))
            for name, run in zip(laps, workers, strict=True):
                laps[name].append(run())
    timed = {name: Measured.of(all_laps[stage.n_warm :]) for name, all_laps in laps.items()}
    return Row.of(stage, timed)


@dataclass(frozen=True)
class Report:
    """One run of the benchmark.

    Attributes:
        about: Machine, versions, commit and sizes that the figures hold for.
        limits: Of the machine.
        families: Those measured.
        rows: In order.
    """

    about: Mapping[str, Any]
    limits: Mapping[str, float]
    families: Sequence[str]
    rows: Sequence[Row]

    def json(self) -> dict[str, Any]:
        """All of it, each lap included."""
        rows = [asdict(row) for row in self.rows]
        return {"schema": 1, **self.about, "limits": dict(self.limits), "rows": rows}

    def text(self) -> str:
        """At most `WIDTH` columns."""
        table = self._table()
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) if i else cell.ljust(width)
                      for i, (cell, width) in enumerate(zip(cells, widths, strict=True)))
            for cells in table
        ]  # fmt: skip
        lines.insert(1, "-" * len(lines[0]))
        legend = (wrap(line, WIDTH - 4, subsequent_indent="  ") for line in self._legend())
        notes = [*self._notes(), "", *(part for parts in legend for part in parts)]
        return "\n".join([*self._machine(), "", *lines, "", *notes])

    def markdown(self) -> str:
        """A section for docs/performance.md."""
        lines = [f"| {' | '.join(cells)} |" for cells in self._table()]
        lines.insert(1, f"|---|{'---:|' * (len(HEADER) - 1)}")
        title = f"## {self.about['machine']['cpu']}, {self.about['commit']}"
        machine = [f"{line}  " for line in self._machine()]
        notes = [f"- {line}" for line in (*self._notes(), *self._legend())]
        return "\n".join([title, "", *machine, "", *lines, "", *notes])

    def _table(self) -> list[tuple[str, ...]]:
        return [HEADER, *(row.cells() for row in self.rows)]

    def _machine(self) -> list[str]:
        machine, installed = self.about["machine"], self.about["versions"]
        speeds = {what: value for what, value in self.limits.items() if what != "GPUs"}
        limits = ", ".join(f"{_number(value)} {what}" for what, value in speeds.items())
        gpu = f"GPU {machine['gpu']}, " if machine["gpu"] else ""
        return [
            f"{gpu}{machine['cpu']}, {machine['cores']} cores ({', '.join(machine['flags'])}), "
            f"{machine['ram_gb']} GB, {machine['system']}",
            ", ".join(f"{name} {version}" for name, version in installed.items()),
            f"sedmtl commit {self.about['commit']}; at best {limits}",
        ]

    def _notes(self) -> list[str]:
        return [note for row in self.rows for note in row.notes()]

    def _legend(self) -> list[str]:
        families = ((name, FAMILIES[name]) for name in self.families)
        return [ABOUT] + [
            f"{name}: reference: {family.reference}"
            + (f"; limit: {family.limit}" if family.limit else "")
            for name, family in families
        ]


def _number(value: float | None) -> str:
    """Three significant digits, two of small numbers; whole numbers from 100 on."""
    if value is None:
        return "–"
    if value < 0.1:
        return f"{value:.2g}"
    n_decimals = 0 if value >= 99.5 else 1 if value >= 9.95 else 2
    return f"{value:,.{n_decimals}f}"
