"""Compares sets of `sedmtl train` options, one per row, on any project.

Trains and scores rows × folds × seeds; resumable. The project's stores must exist for all its SNRs.
Networks are trained on the store of `--train-snr`, remixed ones over `remix.snr_db` of data.yaml,
and all are scored on every store. Each run is a line of `--runs`, from which the tables are made;
lines may come from several machines and days.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from bench.machine import commit, describe
from bench.study_tables import tables
from sedmtl.config import Config, load_config
from sedmtl.evaluation.aggregate import tabulate
from sedmtl.evaluation.evaluate import score_runs
from sedmtl.evaluation.rows import Row
from sedmtl.evaluation.tables import to_markdown
from sedmtl.inference.runs import is_finished, read_run
from sedmtl.store import data_name

METRICS = {
    "micro_p": "micro-P",
    "macro_p": "macro-P",
    "frame_ap_micro": "frame AP",
    "psds1": "PSDS1",
    "psds2": "PSDS2",
}
"""Titles of metrics, by their keys in `eval --json`."""

Run = dict[str, Any]
"""A line of the file of runs: row, fold, seed, epochs, metrics by data and SNR, cost and origin."""

Key = tuple[str, int, int]
"""Row, fold and seed."""

Values = npt.NDArray[np.float64]


def metrics_of(run: Path, store: Path) -> dict[str, float]:
    """`METRICS` of a finished run on a feature store."""
    return metrics_in(tabulate(score_runs(run.parent, [run.name], store))[0])


def metrics_in(row: Row) -> dict[str, float]:
    """`METRICS` in a row of a table; NaN for undefined ones."""
    metrics = row.metrics
    return {name: metrics[name].mean if name in metrics else np.nan for name in METRICS}


@dataclass(frozen=True)
class Study:
    """A comparison of rows.

    Attributes:
        name: Name used for runs and files.
        rows: Options of `sedmtl train`, and values of data.yaml's `remix`, by row name.
        reference: The row that the others are compared with, run by run.
        metrics: Titles of metrics, by key.
        measure: Measures a run on a store; NaN for undefined metrics.
    """

    name: str
    rows: Mapping[str, str]
    reference: str
    metrics: Mapping[str, str] = field(default_factory=lambda: METRICS)
    measure: Callable[[Path, Path], Mapping[str, float]] = metrics_of

    def values(self, run: Run, on: str) -> Values:
        """(metrics, SNRs) values of a run; NaN where nothing was measured."""
        scored = run["scored_on"][on]
        unknown = [None] * len(run["snrs_db"])
        return np.array([scored.get(metric, unknown) for metric in self.metrics], np.float64)


@dataclass(frozen=True)
class Plan:
    """What to train, and on which data.

    Attributes:
        study: The comparison.
        config_path: The project to train on.
        also: Another project to score on as well, with the same plan but other onsets.
        runs_path: The file of runs.
        train_snr_db: SNR of the training store.
        epochs: Epochs of rows that do not set them.
    """

    study: Study
    config_path: Path
    also: Path | None
    runs_path: Path
    train_snr_db: float
    epochs: int

    def projects(self) -> dict[str, Config]:
        """The projects to score on, by onset rule; the first is the one trained on."""
        projects = [load_config(path) for path in (self.config_path, self.also) if path]
        return {str(project.mixing.onsets): project for project in projects}

    def options(self, row: str) -> list[str]:
        """Options of `sedmtl train` for a row, with the epochs last."""
        words = [word for word in self.study.rows[row].split() if not word.startswith("remix.")]
        if "--epochs" not in words:
            return [*words, "--epochs", str(self.epochs)]
        at = words.index("--epochs")
        return [*words[:at], *words[at + 2 :], *words[at : at + 2]]

    def run_name(self, row: str, fold: int, seed: int) -> str:
        """Name of a row's run folder."""
        how = f"snr{self.train_snr_db:g}_epochs{self.options(row)[-1]}"
        return f"{self.study.name}_{slug(row)}_{how}_fold{fold}_seed{seed}"

    def data_of(self, row: str) -> Path:
        """The data.yaml of a row: the given one, or one next to it with the row's `remix`."""
        words = self.study.rows[row].split()
        own = [word.removeprefix("remix.") for word in words if "remix." in word]
        if not own:
            return self.config_path
        data = yaml.safe_load(self.config_path.read_text()) or {}
        remix = {name: yaml.safe_load(value) for name, value in (word.split("=") for word in own)}
        name = f"{self.config_path.stem}_{self.study.name}_{slug(row)}.yaml"
        path = self.config_path.with_name(name)
        path.write_text(yaml.safe_dump({**data, "remix": {**data.get("remix", {}), **remix}}))
        return path

    def runs(self) -> dict[Key, Run]:
        """Existing runs that match this plan, each with its latest scores."""
        lines = self.runs_path.read_text().splitlines() if self.runs_path.is_file() else []
        asked = (self.train_snr_db, next(iter(self.projects())))
        return {
            (run["row"], run["fold"], run["seed"]): run
            for run in map(json.loads, lines)
            if (run["train_snr_db"], run["trained_on"]) == asked
            # The file may have rows that no longer exist.
            if run["row"] not in self.study.rows
            or str(run["epochs"]) == self.options(run["row"])[-1]
        }


def slug(row: str) -> str:
    """A row's name in a form for file names."""
    return "-".join("".join(c if c.isalnum() else " " for c in row).split())


def measure(plan: Plan, keys: Iterable[Key], n_jobs: int) -> None:
    """Train and score runs that are not in the file of runs yet, and add them."""
    wanted, known, one_writes = set(plan.projects()), plan.runs(), Lock()
    missing = [k for k in keys if k not in known or not wanted <= set(known[k]["scored_on"])]
    # Written up front, since parallel runs read them.
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
    """Train one run; its CPU time is saved next to its log, even if it is interrupted."""
    work = load_config(plan.config_path).work_dir
    run = work / "runs" / plan.run_name(row, fold, seed)
    if is_finished(run):
        return run
    command = [sys.executable, "-m", "sedmtl", "train", "--resume", "--name", run.name]
    command += ["--fold", str(fold), "--seed", str(seed), "--config", str(data)]
    command += [*plan.options(row), "--snr", f"{plan.train_snr_db:g}"]
    log = work / plan.study.name / f"{run.name}.log"
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
    """Score a finished run at every SNR, on its own project and on the other one."""
    recipe, projects = read_run(run), plan.projects()
    trained_on = next(iter(projects))
    scored: dict[str, dict[str, list[float]]] = {}
    for onsets, project in projects.items():
        names = [data_name(snr_db) for snr_db in sorted(project.mixing.snrs_db)]
        stores = [project.work_dir / "features" / f"{name}.h5" for name in names]
        measured = [plan.study.measure(run, store) for store in stores]
        scored[onsets] = {
            metric: [_known(each[metric]) for each in measured] for metric in plan.study.metrics
        }
    costs = run.parents[1] / plan.study.name / f"{run.name}.cpu"
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


def _known(value: float) -> float | None:
    """Rounded, with None for NaN, which JSON does not have."""
    return None if np.isnan(value) else round(value, 4)


def compare(study: Study, about: str | None) -> None:
    """The command line of a study: train missing runs, then print the tables.

    Args:
        study: The comparison.
        about: Description for the help.
    """
    parser = argparse.ArgumentParser(prog=f"python -m bench.{study.name}", description=about)
    add = parser.add_argument
    add("--config", type=Path, default=Path("data.yaml"))
    add("--also", type=Path, metavar="DATA", help="another project to score on")
    add("--runs", type=Path, metavar="FILE",
        help=f"measured runs; by default {study.name}/runs.jsonl in the work folder")  # fmt: skip
    add("--row", action="append", choices=list(study.rows), metavar="NAME",
        help="a row of the study; by default all")  # fmt: skip
    add("--fold", type=int, action="append")
    add("--seed", type=int, action="append")
    add("--train-snr", type=float, default=10.0)
    add("--epochs", type=int, default=20, help="epochs of rows that do not set them")
    add("--jobs", type=int, default=1, help="parallel runs")
    add("--table", action="store_true", help="only print the tables")
    asked = parser.parse_args()
    runs_path = asked.runs or load_config(asked.config).work_dir / study.name / "runs.jsonl"
    plan = Plan(study, asked.config, asked.also, runs_path, asked.train_snr, asked.epochs)
    if not asked.table:
        folds, seeds = asked.fold or [1, 2, 3, 4], asked.seed or [0]
        measure(plan, product(asked.row or study.rows, folds, seeds), asked.jobs)
    print(to_markdown(tables(study, plan.runs())))
