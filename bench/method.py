"""`make method`: what each part of the strong recipe is worth, measured on any project.

Trains and scores rows × folds × seeds; resumable. The project's stores at all its SNRs must be
there; networks are trained on the one of `--train-snr`, remixed ones over `remix.snr_db` of
data.yaml, and all are scored on every store. Each run becomes a line of `--runs`, from which the
tables are made: they may come from several machines and days.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from bench.machine import commit, describe
from sedmtl.config import Config, load_config
from sedmtl.evaluation.aggregate import tabulate
from sedmtl.evaluation.evaluate import score_runs
from sedmtl.evaluation.tables import Table, to_markdown
from sedmtl.inference.checkpoint import is_finished, read_run
from sedmtl.store import data_name

PLAIN = "--alpha 0 --batch-size 16 --schedule cosine"
POOLED = f"--model pooled {PLAIN}"
REMIXED = f"{POOLED} --remix"
PAPER = "--model 2apae --width 8 --alpha 0.001 --batch-size 8"

ROWS = {
    "2apae, 10 epochs": f"{PAPER} --epochs 10",
    "2apae, 20 epochs": f"{PAPER} --epochs 20",
    "2apae, local": f"{PAPER} --epochs 10 --time-attention local",
    "2apae, remixed": f"{PAPER} --epochs 10 --remix",
    "2apae, local, remixed": f"{PAPER} --epochs 10 --remix --time-attention local",
    "gap, remixed": "--model gap --width 8 --batch-size 8 --epochs 10 --remix",
    "gmp, remixed": "--model gmp --width 8 --batch-size 8 --epochs 10 --remix",
    "gwrp, remixed": "--model gwrp --width 8 --batch-size 8 --epochs 10 --remix",
    "atrous, remixed": "--model atrous --width 8 --batch-size 8 --epochs 10 --remix",
    "pooled": POOLED,
    "pooled, plateau": "--model pooled --alpha 0 --batch-size 16",
    "pooled, remixed": REMIXED,
    "+ first parts": f"{REMIXED} remix.event_part=first",
    "+ own speed": f"{REMIXED} remix.speed=[1,1]",
    "+ first parts, own speed": f"{REMIXED} remix.event_part=first remix.speed=[1,1]",
    "+ one SNR": f"{REMIXED} remix.snr_db=null",
    "pooled, remixed, 40 epochs": f"{REMIXED} --epochs 40",
    "+ decoder": f"{REMIXED} --alpha 0.001",
    "+ linear pooling": f"{REMIXED} --time-pooling linear",
    "+ attention pooling": f"{REMIXED} --time-pooling attention",
    "+ no dropout": f"{REMIXED} --dropout 0",
    "crnn": f"--model crnn {PLAIN}",
    "crnn, remixed": f"--model crnn {PLAIN} --remix",
    "crnn, linear, remixed": f"--model crnn {PLAIN} --remix --time-pooling linear",
    "ceiling: pooled, remixed, known frames": f"{REMIXED} --supervision strong",
    "ceiling: crnn, remixed, known frames": f"--model crnn {PLAIN} --remix --supervision strong",
}
"""Options of `sedmtl train`, and values of data.yaml, by the name of a row.

A `+` row changes one thing of 'pooled, remixed'.
"""

REFERENCE = "pooled, remixed"
"""The row that the others are compared with, run by run."""

METRICS = {
    "micro_p": "micro-P",
    "macro_p": "macro-P",
    "frame_ap_micro": "frame AP",
    "psds1": "PSDS1",
    "psds2": "PSDS2",
}
"""By their names in `eval --json`."""

Run = dict[str, Any]
"""A line of the file of runs: row, fold, seed, epochs, metrics by data and SNR, cost, origin."""

Key = tuple[str, int, int]
"""Row, fold and seed."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """What to train, and where.

    Attributes:
        config_path: The project that is trained on.
        also: Another project with the same plan, scored on beside it: other onsets.
        runs_path: The file of runs.
    """

    config_path: Path
    also: Path | None
    runs_path: Path
    train_snr_db: float
    epochs: int

    def projects(self) -> dict[str, Config]:
        """The projects that runs are scored on, by their onsets; the first is trained on."""
        projects = [load_config(path) for path in (self.config_path, self.also) if path]
        return {str(project.mixing.onsets): project for project in projects}

    def options(self, row: str) -> list[str]:
        """Options of `sedmtl train` for a row; its epochs come last."""
        words = [word for word in ROWS[row].split() if not word.startswith("remix.")]
        if "--epochs" not in words:
            return [*words, "--epochs", str(self.epochs)]
        at = words.index("--epochs")
        return [*words[:at], *words[at + 2 :], *words[at : at + 2]]

    def run_name(self, row: str, fold: int, seed: int) -> str:
        """The run folder of a row."""
        how = f"snr{self.train_snr_db:g}_epochs{self.options(row)[-1]}"
        return f"method_{slug(row)}_{how}_fold{fold}_seed{seed}"

    def data_of(self, row: str) -> Path:
        """The project of a row: the one given, or one beside it with the row's own `remix`."""
        own = [word.removeprefix("remix.") for word in ROWS[row].split() if "remix." in word]
        if not own:
            return self.config_path
        data = yaml.safe_load(self.config_path.read_text()) or {}
        remix = {name: yaml.safe_load(value) for name, value in (word.split("=") for word in own)}
        path = self.config_path.with_name(f"{self.config_path.stem}_method_{slug(row)}.yaml")
        path.write_text(yaml.safe_dump({**data, "remix": {**data.get("remix", {}), **remix}}))
        return path

    def runs(self) -> dict[Key, Run]:
        """The known runs that were trained as this plan would, each as it was scored last."""
        lines = self.runs_path.read_text().splitlines() if self.runs_path.is_file() else []
        asked = (self.train_snr_db, next(iter(self.projects())))
        return {
            (run["row"], run["fold"], run["seed"]): run
            for run in map(json.loads, lines)
            if (run["train_snr_db"], run["trained_on"]) == asked
            # Rows of options that are no more stay in the file.
            if run["row"] not in ROWS or str(run["epochs"]) == self.options(run["row"])[-1]
        }


def slug(row: str) -> str:
    """The words of a row as part of a file's name."""
    return "-".join("".join(c if c.isalnum() else " " for c in row).split())


def measure(plan: Plan, keys: Iterable[Key], n_jobs: int) -> None:
    """Train and score what the file of runs does not have yet, and add it."""
    wanted, known, one_writes = set(plan.projects()), plan.runs(), Lock()
    missing = [k for k in keys if k not in known or not wanted <= set(known[k]["scored_on"])]
    # Written before runs read them side by side.
    data = {row: plan.data_of(row) for row, _, _ in missing}
    plan.runs_path.parent.mkdir(parents=True, exist_ok=True)

    def work(row: str, fold: int, seed: int) -> None:
        measured = score(plan, row, train(plan, data[row], row, fold, seed))
        with one_writes, plan.runs_path.open("a") as file:
            file.write(json.dumps(measured) + "\n")
        print(f"{row}, fold {fold}, seed {seed}: done", flush=True)

    with ThreadPoolExecutor(n_jobs) as pool:
        list(pool.map(lambda key: work(*key), missing))


def train(plan: Plan, data: Path, row: str, fold: int, seed: int) -> Path:
    """Train one run to its end; its CPU time is kept beside its log, also if it is interrupted."""
    work = load_config(plan.config_path).work_dir
    run = work / "runs" / plan.run_name(row, fold, seed)
    if is_finished(run):
        return run
    command = [sys.executable, "-m", "sedmtl", "train", "--resume", "--name", run.name]
    command += ["--fold", str(fold), "--seed", str(seed), "--config", str(data)]
    command += [*plan.options(row), "--snr", f"{plan.train_snr_db:g}"]
    log = work / "method" / f"{run.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    costs = log.with_suffix(".cpu")
    spent = float(costs.read_text()) if costs.is_file() else 0.0
    costs.write_text(str(spent + usage.ru_utime + usage.ru_stime))
    if process.returncode:
        raise RuntimeError(f"{run.name} failed: see {log}")
    return run


def score(plan: Plan, row: str, run: Path) -> Run:
    """The figures of a finished run at every SNR, on its own data and on the other project's."""
    recipe, projects = read_run(run), plan.projects()
    trained_on = next(iter(projects))
    scored: dict[str, dict[str, list[float]]] = {}
    for onsets, project in projects.items():
        names = [data_name(snr_db) for snr_db in sorted(project.mixing.snrs_db)]
        stores = [project.work_dir / "features" / f"{name}.h5" for name in names]
        rows = [tabulate(score_runs(run.parent, [run.name], store))[0] for store in stores]
        scored[onsets] = {
            metric: [round(each.metrics[metric].mean, 4) for each in rows] for metric in METRICS
        }
    costs = run.parents[1] / "method" / f"{run.name}.cpu"
    return {
        "row": row,
        **{name: recipe[name] for name in ("fold", "seed", "epochs", "precision")},
        "trained_on": trained_on,
        "train_snr_db": plan.train_snr_db,
        "snrs_db": sorted(projects[trained_on].mixing.snrs_db),
        "scored_on": scored,
        "cpu_min": round(float(costs.read_text()) / 60, 2),
        "cpu": describe()["cpu"],
        "commit": commit(),
    }


def tables(runs: Mapping[Key, Run]) -> list[Table]:
    """A table of all rows for each data scored on, and one of their differences."""
    made = []
    for on in dict.fromkeys(on for run in runs.values() for on in run["scored_on"]):
        of_row: dict[str, dict[tuple[int, int], Run]] = {row: {} for row in ROWS}
        for (row, *which), run in runs.items():
            if on in run["scored_on"]:
                of_row.setdefault(row, {})[tuple(which)] = run
        of_row = {row: of_row[row] for row in of_row if of_row[row]}
        at = " / ".join(f"{snr:g}" for snr in next(iter(runs.values()))["snrs_db"])
        columns = ["row", "folds × seeds", "epochs", *METRICS.values(), "CPU min"]
        means = [_means(row, of_row[row], on) for row in of_row]
        made.append(Table(f"Scored on {on} onsets, at {at} dB", columns, means))
        base = of_row.pop(REFERENCE, {})
        common = {row: sorted(of_row[row].keys() & base.keys()) for row in of_row}
        gains = {
            row: np.stack([_values(of_row[row][k], on) - _values(base[k], on) for k in common[row]])
            for row in of_row
            if common[row]
        }
        if gains:
            title = f"The same folds and seeds, minus {REFERENCE}, ± standard error"
            lines = [
                [row, str(len(gain)), *_cells(gain, _std(gain) / len(gain) ** 0.5, "+")]
                for row, gain in gains.items()
            ]
            made.append(Table(title, ["row", "runs", *METRICS.values()], lines))
    return made


def _means(row: str, runs: Mapping[tuple[int, int], Run], on: str) -> list[str]:
    """Mean over folds and seeds, ± the standard deviation over seeds of the mean over folds."""
    folds, seeds = ({each[axis] for each in runs} for axis in (0, 1))
    of_seed = [[_values(runs[k], on) for k in runs if k[1] == seed] for seed in sorted(seeds)]
    spread = _std(np.stack([np.mean(each, axis=0) for each in of_seed]))
    cells = _cells(np.concatenate(of_seed), spread)
    count = f"{len(folds)} × {len(seeds)}"
    if len(runs) < len(folds) * len(seeds):
        count += f" ({len(runs)} runs)"
    epochs = "/".join(map(str, sorted({run["epochs"] for run in runs.values()})))
    return [row, count, epochs, *cells, f"{np.mean([r['cpu_min'] for r in runs.values()]):.1f}"]


def _values(run: Run, on: str) -> Values:
    """(metrics, SNRs)."""
    return np.array([run["scored_on"][on][metric] for metric in METRICS])


def _std(values: Values) -> Values:
    """(n, metrics, SNRs) -> (metrics,) standard deviation, the mean over SNRs; NaN of one."""
    if len(values) == 1:
        return np.full(values.shape[1], np.nan)
    return values.std(axis=0, ddof=1).mean(axis=1)


def _cells(values: Values, spread: Values, sign: str = "") -> list[str]:
    """(n, metrics, SNRs), (metrics,) -> means by SNR, ± their spread if there is one."""
    return [
        " / ".join(f"{value:{sign}.3f}" for value in of_metric)
        + (f" ± {by:.3f}" if np.isfinite(by) else "")
        for of_metric, by in zip(values.mean(axis=0), spread, strict=True)
    ]


def main() -> None:
    """Train what is missing, then print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.method", description=__doc__)
    add = parser.add_argument
    add("--config", type=Path, default=Path("data.yaml"))
    add("--also", type=Path, metavar="DATA", help="another project to score on")
    add("--runs", type=Path, metavar="FILE",
        help="of the measured runs; by default method/runs.jsonl in the work folder")  # fmt: skip
    add("--row", action="append", choices=list(ROWS), metavar="NAME",
        help="of those in this file; default: all")  # fmt: skip
    add("--fold", type=int, action="append")
    add("--seed", type=int, action="append")
    add("--train-snr", type=float, default=10.0)
    add("--epochs", type=int, default=20, help="where a row does not say")
    add("--jobs", type=int, default=1, help="runs at once")
    add("--table", action="store_true", help="train nothing")
    asked = parser.parse_args()
    runs_path = asked.runs or load_config(asked.config).work_dir / "method" / "runs.jsonl"
    plan = Plan(asked.config, asked.also, runs_path, asked.train_snr, asked.epochs)
    if not asked.table:
        folds, seeds = asked.fold or [1, 2, 3, 4], asked.seed or [0]
        measure(plan, product(asked.row or ROWS, folds, seeds), asked.jobs)
    print(to_markdown(tables(plan.runs())))


if __name__ == "__main__":
    main()
