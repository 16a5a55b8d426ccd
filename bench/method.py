"""`make method`: what each part of the strong recipe is worth, measured on any project.

Trains a row at a time: rows × folds × seeds, resumable. The project's stores at all its SNRs must
be there; networks are trained on the one of `--train-snr`, remixed ones over `remix.snr_db` of
data.yaml, and all are scored on every store.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from sedmtl.config import load_config
from sedmtl.evaluation.aggregate import tabulate
from sedmtl.evaluation.evaluate import score_runs
from sedmtl.evaluation.rows import Row
from sedmtl.inference.checkpoint import is_finished
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
    "pooled, remixed, 45 epochs": f"{REMIXED} --epochs 45",
    "+ mixup, 60 epochs": f"{REMIXED} --mixup 0.5 --epochs 60",
    "+ decoder": f"{REMIXED} --alpha 0.001",
    "+ linear pooling": f"{REMIXED} --time-pooling linear",
    "+ attention pooling": f"{REMIXED} --time-pooling attention",
    "+ no dropout": f"{REMIXED} --dropout 0",
    "+ mixup": f"{REMIXED} --mixup 0.5",
    "+ roll": f"{REMIXED} --roll 0.5",
    "+ masks": f"{REMIXED} --masks 0.2",
    "+ filter": f"{REMIXED} --filter-db 6",
    "+ average": f"{REMIXED} --average 0.995",
    "+ weight decay": f"{REMIXED} --weight-decay 0.01",
    "crnn": f"--model crnn {PLAIN}",
    "crnn, remixed": f"--model crnn {PLAIN} --remix",
    "crnn, remixed + mixup": f"--model crnn {PLAIN} --remix --mixup 0.5",
    "crnn, linear, remixed": f"--model crnn {PLAIN} --remix --time-pooling linear",
    "recipe": "--recipe strong",
    "ceiling: pooled, remixed, known frames": f"{REMIXED} --supervision strong",
    "ceiling: crnn, remixed, known frames": f"--model crnn {PLAIN} --remix --supervision strong",
}
"""Options of `sedmtl train` by the name of a row; a `+` row adds to 'pooled, remixed'."""

METRICS = ("micro_p", "macro_p", "frame_ap_micro", "psds1", "psds2")


def run_name(row: str, fold: int, seed: int) -> str:
    """The run folder of a row."""
    words = "".join(c if c.isalnum() else " " for c in row).split()
    return f"method_{'-'.join(words)}_fold{fold}_seed{seed}"


def train(config_path: Path, row: str, fold: int, seed: int, options: Sequence[str]) -> None:
    """Train one run to its end and keep the CPU time it took."""
    project = load_config(config_path)
    run = project.work_dir / "runs" / run_name(row, fold, seed)
    if is_finished(run):
        return
    command = [sys.executable, "-m", "sedmtl", "train", "--config", str(config_path), "--resume"]
    command += ["--fold", str(fold), "--seed", str(seed), "--name", run.name, *options]
    log = project.work_dir / "method" / f"{run.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    costs = log.with_suffix(".cpu")
    spent = float(costs.read_text()) if costs.is_file() else 0.0
    costs.write_text(str(spent + usage.ru_utime + usage.ru_stime))
    print(f"{run.name}: {'done' if process.returncode == 0 else f'failed, see {log}'}", flush=True)


def measure(config_path: Path, rows: Iterable[str], folds: list[int], seeds: list[int]) -> str:
    """The table: a line per row, each metric at every SNR, over the finished folds and seeds."""
    project = load_config(config_path)
    runs_dir, snrs_db = project.work_dir / "runs", sorted(project.mixing.snrs_db)
    heads = ["row", "runs", *METRICS, "CPU min"]
    lines = [f"| {' | '.join(heads)} |", f"|---{'|---:' * (len(heads) - 1)}|"]
    for row in rows:
        names = [run_name(row, fold, seed) for fold in folds for seed in seeds]
        names = [name for name in names if is_finished(runs_dir / name)]
        if not names:
            continue
        costs = [project.work_dir / "method" / f"{name}.cpu" for name in names]
        minutes = np.mean([float(p.read_text()) / 60 for p in costs if p.is_file()] or [np.nan])
        stores = [project.work_dir / "features" / f"{data_name(snr_db)}.h5" for snr_db in snrs_db]
        scored = [tabulate(score_runs(runs_dir, names, store)) for store in stores]
        cells = [" / ".join(mean_of(each, metric) for each in scored) for metric in METRICS]
        lines.append(f"| {' | '.join([row, str(len(names)), *cells, f'{minutes:.1f}'])} |")
    at = " / ".join(f"{snr_db:g}" for snr_db in snrs_db)
    return "\n".join([*lines, "", f"Each metric at {at} dB.", ""])


def mean_of(rows: Sequence[Row], metric: str) -> str:
    """Mean of a metric over seeds, each the mean over folds; with the spread over seeds."""
    values = [row.metrics[metric].mean for row in rows if metric in row.metrics]
    if not values:
        return "–"
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


def main() -> None:
    """Train what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("data.yaml"))
    parser.add_argument("--row", action="append", choices=list(ROWS), metavar="NAME",
        help="of those in this file; default: all")  # fmt: skip
    parser.add_argument("--fold", type=int, action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--train-snr", type=float, default=10.0)
    parser.add_argument("--epochs", type=int, default=30, help="where a row does not say")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--table", action="store_true", help="train nothing")
    asked = parser.parse_args()
    rows, folds, seeds = asked.row or list(ROWS), asked.fold or [1, 2, 3, 4], asked.seed or [0]
    with ThreadPoolExecutor(asked.jobs) as pool:
        jobs = []
        for row in rows if not asked.table else []:
            given = ROWS[row].split()
            epochs = [] if "--epochs" in given else ["--epochs", str(asked.epochs)]
            options = [*given, *epochs, "--snr", f"{asked.train_snr:g}"]
            jobs += [
                pool.submit(train, asked.config, row, fold, seed, options)
                for fold in folds
                for seed in seeds
            ]
        for job in jobs:
            job.result()
    table = measure(asked.config, rows, folds, seeds)
    folder = load_config(asked.config).work_dir / "method"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "method.md").write_text(table)
    (folder / "method.json").write_text(json.dumps({"rows": rows, "folds": folds, "seeds": seeds}))
    print(table)


if __name__ == "__main__":
    main()
