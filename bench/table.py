"""Measured stages, and the table of them: for a terminal, as Markdown, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, NamedTuple

from bench.runner import Family, Lap
from sedmtl.evaluation.tables import Table

HEADER = ("stage", "ours", "reference", "ratio", "x real time", "peak MB", "ref. MB", "of limit")
WIDTH = 100
"""Columns of a terminal that everything fits into."""

ABOUT = (
    "ours and reference: medians of alternating laps; ratio: times as fast as the reference; "
    "peak MB: resident memory of a process that does nothing else; of limit: time at the limit "
    "over time taken."
)


class Row(NamedTuple):
    """A measured stage, and the laps of each of its sides."""

    stage: str
    unit: str
    laps: Mapping[str, Sequence[Lap]]

    def figures(self) -> dict[str, float | None]:
        """Medians of the sides, in the order of `HEADER`; None: nothing to compare with."""
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

    def cells(self) -> list[str]:
        """As text, in the order of `HEADER`."""
        *figures, of_limit = self.figures().values()
        share = f"{of_limit:.0%}" if of_limit is not None else "–"
        return [f"{self.stage} ({self.unit})", *map(_number, figures), share]

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
    """One run of the benchmark."""

    about: Mapping[str, Any]  # machine, versions, commit and sizes that the figures hold for
    limits: Mapping[str, float]  # of the machine
    families: Mapping[str, Family]  # those measured, by name
    rows: Sequence[Row]

    def json(self) -> dict[str, Any]:
        """All of it, each lap included."""
        rows = [row.json() for row in self.rows]
        return {"schema": 2, **self.about, "limits": dict(self.limits), "rows": rows}

    def table(self) -> Table:
        """The rows; the notes name the machine and explain the columns."""
        machine, installed = self.about["machine"], self.about["versions"]
        gpu = f"GPU {machine['gpu']}, " if machine["gpu"] else ""
        limits = [
            f"{_number(value)} {what}" for what, value in self.limits.items() if what != "GPUs"
        ]
        notes = [
            f"{gpu}{machine['cores']} cores ({', '.join(machine['flags'])}), "
            f"{machine['ram_gb']} GB, {machine['system']}; at best {', '.join(limits)}",
            ", ".join(f"{name} {version}" for name, version in installed.items()),
            *(note for row in self.rows for note in row.notes()),
            ABOUT,
        ]
        for name, family in self.families.items():
            limit = f"; limit: {family.limit}" if family.limit else ""
            notes.append(f"{name}: reference: {family.reference}{limit}")
        title = f"{machine['cpu']}, {self.about['commit']}"
        return Table(title, HEADER, [row.cells() for row in self.rows], notes)


def _number(value: float | None) -> str:
    """Three significant digits, two of small numbers; whole numbers from 100 on."""
    if value is None:
        return "–"
    if value < 0.1:
        return f"{value:.2g}"
    n_decimals = 0 if value >= 99.5 else 1 if value >= 9.95 else 2
    return f"{value:,.{n_decimals}f}"
