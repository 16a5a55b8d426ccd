"""The figures as a table: for a terminal, as Markdown, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from textwrap import wrap
from typing import Any

from bench.measurement import Row
from bench.stages import FAMILIES

HEADER = ("stage", "ours", "reference", "ratio", "x real time", "peak MB", "ref. MB", "of limit")
WIDTH = 100
"""Columns of a terminal that everything fits into."""

ABOUT = (
    "ours and reference: medians of laps that took turns; ratio: times as fast as the reference; "
    "peak MB: resident memory of a process that does nothing else; of limit: time at the limit "
    "over time taken."
)


@dataclass(frozen=True)
class Report:
    """One run of the benchmark.

    Attributes:
        about: Machine, versions, commit, sizes: what the figures hold for.
        limits: Of the machine.
        families: That were measured.
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
        """At most 100 columns."""
        cells = [HEADER, *map(cells_of, self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [_align(row, widths) for row in cells]
        lines.insert(1, "-" * len(lines[0]))
        legend = [
            part for line in self._legend() for part in wrap(line, 96, subsequent_indent="  ")
        ]
        return "\n".join([*self._machine(), "", *lines, "", *self._notes(), "", *legend])

    def markdown(self) -> str:
        """A section for docs/performance.md."""
        lines = [f"| {' | '.join(cells)} |" for cells in (HEADER, *map(cells_of, self.rows))]
        lines.insert(1, f"|---|{'---:|' * (len(HEADER) - 1)}")
        extras = [f"- {line}" for line in (*self._notes(), *self._legend())]
        head = [f"## {self.about['machine']['cpu']}, {self.about['commit']}", ""]
        return "\n".join([*head, *(f"{line}  " for line in self._machine()), "", *lines, "",
                          *extras])  # fmt: skip

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
        """Further figures of a stage, its reference's in brackets."""
        lines = []
        for row in self.rows:
            reference = row.sides["reference"].notes if "reference" in row.sides else {}
            for what, value in row.sides["ours"].notes.items():
                other = f" (reference: {_number(reference[what])})" if what in reference else ""
                lines.append(f"{row.stage}: {_number(value)} {what}{other}")
        return lines

    def _legend(self) -> list[str]:
        lines = [ABOUT]
        for name in self.families:
            family = FAMILIES[name]
            limit = f"; limit: {family.limit}" if family.limit else ""
            lines.append(f"{name}: reference: {family.reference}{limit}")
        return lines


def cells_of(row: Row) -> tuple[str, ...]:
    """A row as text, in the order of the header."""
    figures = (row.ours, row.reference, row.ratio, row.real_time, row.peak_mb)
    of_limit = f"{row.of_limit:.0%}" if row.of_limit is not None else "–"
    return (
        f"{row.stage} ({row.unit})",
        *map(_number, figures),
        _number(row.reference_peak_mb),
        of_limit,
    )


def _number(value: float | None) -> str:
    """Three digits that count, two of small numbers; whole numbers from 100 on."""
    if value is None:
        return "–"
    if value < 0.1:
        return f"{value:.2g}"
    n_decimals = 0 if value >= 99.5 else 1 if value >= 9.95 else 2
    return f"{value:,.{n_decimals}f}"


def _align(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])
