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
from collections.abc import Iterable, Sequence
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

METRICS = ("micro_p", "macro_p", "frame_ap_micro", "psds1", "psds2")
TITLES = ("micro-P", "macro-P", "frame AP", "PSDS1", "PSDS2")

Run = dict[str, Any]
"""A line of the file of runs: row, fold, seed, epochs, metrics by data and SNR, cost, origin."""


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

    @property
    def project(self) -> Config:
        """The project that is trained on."""
        return load_config(self.config_path)

    def options(self, row: str) -> list[str]:
        """Options of `sedmtl train` for a row."""
        given = [word for word in ROWS[row].split() if not word.startswith("remix.")]
        epochs = [] if "--epochs" in given else ["--epochs", str(self.epochs)]
        config = ["--config", str(self.data_of(row))]
        return [*config, *given, *epochs, "--snr", f"{self.train_snr_db:g}"]

    def run_name(self, row: str, fold: int, seed: int) -> str:
        """The run folder of a row."""
        options = self.options(row)
        epochs = options[options.index("--epochs") + 1]
        how = f"snr{self.train_snr_db:g}_epochs{epochs}"
        return f"method_{slug(row)}_{how}_fold{fold}_seed{seed}"

    def wants(self, run: Run) -> bool:
        """Whether a known run was trained as this plan would."""
        asked = (self.train_snr_db, str(self.project.mixing.onsets))
        of_epochs = run["row"] not in ROWS or str(run["epochs"]) in self.options(run["row"])
        return of_epochs and (run["train_snr_db"], run["trained_on"]) == asked

    def scored(self) -> dict[str, Config]:
        """The projects that runs are scored on, by their onsets."""
        projects = [self.project, *([load_config(self.also)] if self.also else [])]
        return {str(project.mixing.onsets): project for project in projects}

    def write_projects(self, rows: Iterable[str]) -> None:
        """The projects of rows with values of their own, before runs read them side by side."""
        for row in rows:
            path, data = self.data_of(row), yaml.safe_load(self.config_path.read_text()) or {}
            if path != self.config_path:
                remix = {**data.get("remix", {}), **own_values(row)}
                path.write_text(yaml.safe_dump({**data, "remix": remix}))

    def data_of(self, row: str) -> Path:
        """The project of a row: the one given, or one beside it with the row's own values."""
        if not own_values(row):
            return self.config_path
        return self.config_path.with_name(f"{self.config_path.stem}_method_{slug(row)}.yaml")


def slug(row: str) -> str:
    """The words of a row as part of a file's name."""
    return "-".join("".join(c if c.isalnum() else " " for c in row).split())


def own_values(row: str) -> dict[str, Any]:
    """The values of `remix` in data.yaml that a row has of its own."""
    words = [word.removeprefix("remix.") for word in ROWS[row].split() if "remix." in word]
    return {key: yaml.safe_load(value) for key, value in (word.split("=") for word in words)}


def train(plan: Plan, row: str, fold: int, seed: int) -> Path:
    """Train one run to its end; its CPU time is kept beside its log, also if it is interrupted."""
    work = plan.project.work_dir
    run = work / "runs" / plan.run_name(row, fold, seed)
    if is_finished(run):
        return run
    command = [sys.executable, "-m", "sedmtl", "train"]
    command += ["--resume", "--fold", str(fold), "--seed", str(seed), "--name", run.name]
    log = work / "method" / f"{run.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen([*command, *plan.options(row)], stdout=file, stderr=file)
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
    recipe, machine = read_run(run), describe()
    costs = plan.project.work_dir / "method" / f"{run.name}.cpu"
    scored: dict[str, dict[str, list[float]]] = {}
    for onsets, project in plan.scored().items():
        snrs_db = sorted(project.mixing.snrs_db)
        stores = [project.work_dir / "features" / f"{data_name(snr)}.h5" for snr in snrs_db]
        rows = [tabulate(score_runs(run.parent, [run.name], store))[0] for store in stores]
        scored[onsets] = {
            metric: [round(each.metrics[metric].mean, 4) for each in rows] for metric in METRICS
        }
    return {
        "row": row,
        "fold": recipe["fold"],
        "seed": recipe["seed"],
        "trained_on": str(plan.project.mixing.onsets),
        "train_snr_db": plan.train_snr_db,
        "epochs": recipe["epochs"],
        "snrs_db": sorted(plan.project.mixing.snrs_db),
        "scored_on": scored,
        "cpu_min": round(float(costs.read_text()) / 60, 2),
        "precision": recipe["precision"],
        "cpu": machine["cpu"],
        "commit": commit(),
    }


def read_runs(plan: Plan) -> list[Run]:
    """The known runs that were trained as the plan asks, each as it was scored last."""
    path = plan.runs_path
    lines = path.read_text().splitlines() if path.is_file() else []
    runs = [run for run in map(json.loads, lines) if plan.wants(run)]
    return list({(run["row"], run["fold"], run["seed"]): run for run in runs}.values())


def measure(plan: Plan, rows: Sequence[str], folds: Iterable[int], seeds: Iterable[int],
            n_jobs: int) -> None:  # fmt: skip
    """Train and score what the file of runs does not have yet, and add it."""
    wanted, one_writes = set(plan.scored()), Lock()
    known = {
        (run["row"], run["fold"], run["seed"])
        for run in read_runs(plan)
        if wanted <= set(run["scored_on"])
    }
    plan.write_projects(rows)

    def work(row: str, fold: int, seed: int) -> None:
        measured = score(plan, row, train(plan, row, fold, seed))
        with one_writes, plan.runs_path.open("a") as file:
            file.write(json.dumps(measured) + "\n")
        print(f"{row}, fold {fold}, seed {seed}: done", flush=True)

    plan.runs_path.parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(n_jobs) as pool:
        missing = [each for each in product(rows, folds, seeds) if each not in known]
        for job in [pool.submit(work, *each) for each in missing]:
            job.result()


def tables(runs: Sequence[Run]) -> str:
    """A table of every row for each data trained and scored on, and their differences."""
    pages = []
    for on in dict.fromkeys(on for run in runs for on in run["scored_on"]):
        chosen = [run for run in runs if on in run["scored_on"]]
        found = {r["row"] for r in chosen}
        # Rows of options that are no more stay in the file of runs, and come last.
        ordered = [*(row for row in ROWS if row in found), *sorted(found - ROWS.keys())]
        by_row = {row: [r for r in chosen if r["row"] == row] for row in ordered}
        at = " / ".join(f"{snr_db:g}" for snr_db in chosen[0]["snrs_db"])
        pages += [f"Scored on {on} onsets, at {at} dB:", ""]
        pages += [*means(by_row, on), ""]
        if REFERENCE in by_row and len(by_row) > 1:
            pages += [f"The same folds and seeds, minus *{REFERENCE}*, ± standard error:", ""]
            pages += [*differences(by_row, on), ""]
    return "\n".join(pages)


def means(by_row: dict[str, list[Run]], on: str) -> list[str]:
    """Mean over folds and seeds, ± the standard deviation over seeds of the mean over folds."""
    lines = header("row", "folds × seeds", "epochs", *TITLES, "CPU min")
    for row, runs in by_row.items():
        n_folds, n_seeds = (len({run[key] for run in runs}) for key in ("fold", "seed"))
        values = {metric: array_of(runs, on, metric) for metric in METRICS}  # (runs, SNRs)
        cells = [" / ".join(f"{v:.3f}" for v in values[m].mean(axis=0)) for m in METRICS]
        if n_seeds > 1:
            spreads = [spread_over_seeds(runs, values[metric]) for metric in METRICS]
            cells = [f"{cell} ± {s:.3f}" for cell, s in zip(cells, spreads, strict=True)]
        cost = np.mean([run["cpu_min"] for run in runs])
        epochs = "/".join(map(str, sorted({run["epochs"] for run in runs})))
        count = f"{n_folds} × {n_seeds}"
        if len(runs) < n_folds * n_seeds:
            count += f" ({len(runs)} runs)"
        lines.append(f"| {' | '.join([row, count, epochs, *cells, f'{cost:.1f}'])} |")
    return lines


def differences(by_row: dict[str, list[Run]], on: str) -> list[str]:
    """Mean over the runs that a row and the reference both have, ± its standard error."""
    lines = header("row", "runs", *TITLES)
    base = {(run["fold"], run["seed"]): run for run in by_row[REFERENCE]}
    for row, runs in by_row.items():
        common = [run for run in runs if (run["fold"], run["seed"]) in base]
        if row == REFERENCE or not common:
            continue
        others = [base[run["fold"], run["seed"]] for run in common]
        cells = []
        for metric in METRICS:
            gain = array_of(common, on, metric) - array_of(others, on, metric)
            error = gain.std(axis=0, ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else None
            cells.append(" / ".join(f"{value:+.3f}" for value in gain.mean(axis=0)))
            if error is not None:
                cells[-1] += f" ± {error.mean():.3f}"
        lines.append(f"| {' | '.join([row, str(len(common)), *cells])} |")
    return lines


def array_of(runs: Sequence[Run], on: str, metric: str) -> npt.NDArray[np.float64]:
    """(runs, SNRs) of a metric."""
    return np.array([run["scored_on"][on][metric] for run in runs])


def spread_over_seeds(runs: Sequence[Run], values: npt.NDArray[np.float64]) -> float:
    """Standard deviation over seeds of the mean over folds; the mean of it over SNRs."""
    seeds = np.array([run["seed"] for run in runs])
    by_seed = [values[seeds == seed].mean(axis=0) for seed in np.unique(seeds)]
    return float(np.std(by_seed, axis=0, ddof=1).mean())


def header(*names: str) -> list[str]:
    """The first lines of a table."""
    return [f"| {' | '.join(names)} |", f"|---{'|---:' * (len(names) - 1)}|"]


def main() -> None:
    """Train what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("data.yaml"))
    parser.add_argument("--also", type=Path, metavar="DATA", help="another project to score on")
    parser.add_argument("--runs", type=Path, metavar="FILE",
        help="of the measured runs; by default method/runs.jsonl in the work folder")  # fmt: skip
    parser.add_argument("--row", action="append", choices=list(ROWS), metavar="NAME",
        help="of those in this file; default: all")  # fmt: skip
    parser.add_argument("--fold", type=int, action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--train-snr", type=float, default=10.0)
    parser.add_argument("--epochs", type=int, default=20, help="where a row does not say")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--table", action="store_true", help="train nothing")
    asked = parser.parse_args()
    runs_path = asked.runs or load_config(asked.config).work_dir / "method" / "runs.jsonl"
    plan = Plan(asked.config, asked.also, runs_path, asked.train_snr, asked.epochs)
    if not asked.table:
        rows, folds, seeds = asked.row or list(ROWS), asked.fold or [1, 2, 3, 4], asked.seed or [0]
        measure(plan, rows, folds, seeds, asked.jobs)
    print(tables(read_runs(plan)))


if __name__ == "__main__":
    main()
