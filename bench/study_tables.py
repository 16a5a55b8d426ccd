"""The tables of a study: scores of its rows, and their differences from the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sedmtl.evaluation.tables import Table

if TYPE_CHECKING:
    from bench.study import Key, Run, Study, Values


def tables(study: Study, runs: Mapping[Key, Run]) -> list[Table]:
    """A table of all rows for each data set scored on, and one of their differences."""
    made = []
    for on in dict.fromkeys(on for run in runs.values() for on in run["scored_on"]):
        of_row: dict[str, dict[tuple[int, int], Run]] = {row: {} for row in study.rows}
        for (row, *which), run in runs.items():
            if on in run["scored_on"]:
                of_row.setdefault(row, {})[tuple(which)] = run
        of_row = {row: of_row[row] for row in of_row if of_row[row]}
        at = " / ".join(f"{snr:g}" for snr in next(iter(runs.values()))["snrs_db"])
        columns = ["row", "folds × seeds", "epochs", *study.metrics.values(), "CPU min"]
        values = {
            row: {k: study.values(run, on) for k, run in of_row[row].items()} for row in of_row
        }
        means = [_means(row, of_row[row], values[row]) for row in of_row]
        made.append(Table(f"Scored on {on} onsets, at {at} dB", columns, means))
        base = values.pop(study.reference, {})
        common = {row: sorted(values[row].keys() & base.keys()) for row in values}
        gains = {
            row: np.stack([values[row][k] - base[k] for k in common[row]])
            for row in values
            if common[row]
        }
        if gains:
            title = f"The same folds and seeds, minus {study.reference}, ± standard error"
            lines = [
                [row, str(len(gain)), *_cells(gain, _std(gain) / len(gain) ** 0.5, "+")]
                for row, gain in gains.items()
            ]
            made.append(Table(title, ["row", "runs", *study.metrics.values()], lines))
    return made


def _means(
    row: str, runs: Mapping[tuple[int, int], Run], values: Mapping[tuple[int, int], Values]
) -> list[str]:
    """Mean over folds and seeds, ± the standard deviation over seeds of the mean over folds."""
    folds, seeds = ({each[axis] for each in runs} for axis in (0, 1))
    of_seed = [[values[k] for k in runs if k[1] == seed] for seed in sorted(seeds)]
    spread = _std(np.stack([np.mean(each, axis=0) for each in of_seed]))
    cells = _cells(np.concatenate(of_seed), spread)
    count = f"{len(folds)} × {len(seeds)}"
    if len(runs) < len(folds) * len(seeds):
        count += f" ({len(runs)} runs)"
    epochs = "/".join(map(str, sorted({run["epochs"] for run in runs.values()})))
    return [row, count, epochs, *cells, f"{np.mean([r['cpu_min'] for r in runs.values()]):.1f}"]


def _std(values: Values) -> Values:
    """(n, metrics, SNRs) -> (metrics,) standard deviation, averaged over SNRs; NaN if n is 1."""
    if len(values) == 1:
        return np.full(values.shape[1], np.nan)
    return values.std(axis=0, ddof=1).mean(axis=1)


def _cells(values: Values, spread: Values, sign: str = "") -> list[str]:
    """(n, metrics, SNRs), (metrics,) -> means by SNR, ± the spread if it is known."""
    return [
        " / ".join("–" if np.isnan(value) else f"{value:{sign}.3f}" for value in of_metric)
        + (f" ± {by:.3f}" if np.isfinite(by) else "")
        for of_metric, by in zip(values.mean(axis=0), spread, strict=True)
    ]
