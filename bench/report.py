"""Computes the figures of stages from their timings, and the table of all stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from bench.runner import Family, Timing
from sedmtl.evaluation.tables import Table

COLUMNS = {
    "ours": "ours",
    "reference": "reference",
    "ratio": "ratio",
    "real_time": "x real time",
    "peak_mb": "peak MB",
    "reference_peak_mb": "ref. MB",
    "of_limit": "of limit",
}
"""Figures of a stage, and the titles of their columns."""

WIDTH = 100
"""Terminal width that all output fits into."""

ABOUT = (
    "ours and reference: medians of alternating timings; ratio: times as fast as the reference; "
    "peak MB: resident memory of a process that does nothing else; of limit: time at the limit "
    "over time taken."
)


def figures(timings: Mapping[str, Sequence[Timing]], unit: str) -> dict[str, float | None]:
    """Medians of the sides, by `COLUMNS`; None if there is no such side."""
    seconds = {
        side: median(each.seconds / each.n_items for each in of) for side, of in timings.items()
    }
    ratio = {side: value / seconds["ours"] for side, value in seconds.items()}
    speed = seconds if unit == "s" else {side: 1 / value for side, value in seconds.items()}
    peak_mb = {side: of_side[-1].peak_mb for side, of_side in timings.items()}
    audio_s = timings["ours"][-1].audio_s / timings["ours"][-1].n_items
    values = (
        speed["ours"], speed.get("reference"), ratio.get("reference"),
        audio_s / seconds["ours"] if audio_s else None,
        peak_mb["ours"], peak_mb.get("reference"), ratio.get("limit"),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def table(report: Mapping[str, Any], families: Mapping[str, Family]) -> Table:
    """The table; its notes describe the machine and explain the columns."""
    machine, rows = report["machine"], report["rows"]
    limits = [f"{number(value)} {of}" for of, value in report["limits"].items() if of != "GPUs"]
    notes = [
        f"{machine['cores']} cores ({', '.join(machine['flags'])}), {machine['ram_gb']} GB, "
        f"{machine['system']}, GPU: {machine['gpu'] or 'none'}; at best {', '.join(limits)}",
        ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
        *(
            f"{row['stage']}: {number(value)} {what}"
            for row in rows
            for what, value in row["timings"]["ours"][-1]["notes"].items()
        ),
        ABOUT,
        *(f"{name}: reference: {family.legend}" for name, family in families.items()),
    ]
    cells = []
    for row in rows:
        *values, of_limit = (row[key] for key in COLUMNS)
        share = "–" if of_limit is None else f"{of_limit:.0%}"
        cells.append([f"{row['stage']} ({row['unit']})", *map(number, values), share])
    header = ["stage", *COLUMNS.values()]
    return Table(f"{machine['cpu']}, {report['commit']}", header, cells, notes)


def number(value: float | None) -> str:
    """Format with three significant digits, two for small numbers, or as an integer from 100."""
    if value is None:
        return "–"
    if value < 0.1:
        return f"{value:.2g}"
    n_decimals = 0 if value >= 99.5 else 1 if value >= 9.95 else 2
    return f"{value:,.{n_decimals}f}"
