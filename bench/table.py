"""Measured stages, and the table of them: for a terminal, as Markdown, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from textwrap import wrap
from typing import Any, NamedTuple

from bench.runner import Family, Lap

HEADER = ("stage", "ours", "reference", "ratio", "x real time", "peak MB", "ref. MB", "of limit")
WIDTH = 100
"""Columns of a terminal that everything fits into."""

ABOUT = (
    "ours and reference: medians of alternating laps; ratio: times as fast as the reference; "
    "peak MB: resident memory of a process that does nothing else; of limit: time at the limit "
    "over time taken."
)


class Row(NamedTuple):
    """A measured stage; None stands for a figure where there is nothing to compare with.

    Attributes:
        laps: Of each side.
    """

    stage: str
    unit: str
    laps: Mapping[str, Sequence[Lap]]

    def figures(self) -> dict[str, float | None]:
        """Medians of the sides, in the order of `HEADER`."""
        seconds = {
            name: median(lap.seconds / lap.n_items for lap in laps)
            for name, laps in self.laps.items()
        }
        per_ours = {name: value / seconds["ours"] for name, value in seconds.items()}
        speed = seconds if self.unit == "s" else {name: 1 / s for name, s in seconds.items()}
        last = {name: laps[-1] for name, laps in self.laps.items()}
        audio_s = last["ours"].audio_s / last["ours"].n_items
        return {
            "ours": speed["ours"],
            "reference": speed.get("reference"),
            "ratio": per_ours.get("reference"),
            "real_time": audio_s / seconds["ours"] if audio_s else None,
            "peak_mb": last["ours"].peak_mb,
            "reference_peak_mb": last["reference"].peak_mb if "reference" in last else None,
            "of_limit": per_ours.get("limit"),
        }

    def cells(self) -> tuple[str, ...]:
        """As text, in the order of the header."""
        *figures, of_limit = self.figures().values()
        share = f"{of_limit:.0%}" if of_limit is not None else "–"
        return (f"{self.stage} ({self.unit})", *map(_number, figures), share)

    def notes(self) -> list[str]:
        """Further figures, the reference's in brackets."""
        reference = self.laps["reference"][-1].notes if "reference" in self.laps else {}
        return [
            f"{self.stage}: {_number(value)} {what}"
            + (f" (reference: {_number(reference[what])})" if what in reference else "")
            for what, value in self.laps["ours"][-1].notes.items()
        ]

    def json(self) -> dict[str, Any]:
        """The figures, and each lap that they are medians of."""
        laps = {name: [asdict(lap) for lap in laps] for name, laps in self.laps.items()}
        return {"stage": self.stage, "unit": self.unit, **self.figures(), "laps": laps}


@dataclass(frozen=True)
class Report:
    """One run of the benchmark.

    Attributes:
        about: Machine, versions, commit and sizes that the figures hold for.
        limits: Of the machine.
        families: Those measured, by name.
        rows: In order.
    """

    about: Mapping[str, Any]
    limits: Mapping[str, float]
    families: Mapping[str, Family]
    rows: Sequence[Row]

    def json(self) -> dict[str, Any]:
        """All of it, each lap included."""
        rows = [row.json() for row in self.rows]
        return {"schema": 2, **self.about, "limits": dict(self.limits), "rows": rows}

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
        return [ABOUT] + [
            f"{name}: reference: {family.reference}"
            + (f"; limit: {family.limit}" if family.limit else "")
            for name, family in self.families.items()
        ]


def _number(value: float | None) -> str:
    """Three significant digits, two of small numbers; whole numbers from 100 on."""
    if value is None:
        return "–"
    if value < 0.1:
        return f"{value:.2g}"
    n_decimals = 0 if value >= 99.5 else 1 if value >= 9.95 else 2
    return f"{value:,.{n_decimals}f}"
