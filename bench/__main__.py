"""`python -m bench`: measure every stage next to its reference, and print the table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from pkgutil import resolve_name
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from bench import machine
from bench.arithmetic import survey
from bench.project import QUICK, SNR_DB, Settings, write_corpora, write_project
from bench.report import WIDTH, figures, table
from bench.runner import Family, Prepare, Timing, measure, python, say, worker
from sedmtl.cli.output import show
from sedmtl.evaluation.tables import to_markdown

FAMILIES = {
    "mix": "bench.stores:MIX",
    "features": "bench.stores:FEATURES",
    "training": "bench.networks:TRAINING",
    "remix": "bench.networks:REMIX",
    "inference": "bench.networks:INFERENCE",
    "predict": "bench.networks:PREDICT",
    "metrics": "bench.metrics:FAMILY",
    "help": "bench.runner:STARTUP",
    "scale": "bench.scale:FAMILY",
}
"""Choices of `--only`, with their location; `scale`, which takes minutes, is off by default."""


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--only", nargs="+", choices=list(FAMILIES), default=list(FAMILIES)[:-1], metavar="FAMILY",
        help=f"some of {', '.join(FAMILIES)}")  # fmt: skip
    add("--data", type=Path, help="folder of FSDKaggle2018 and TAU 2019; by default synthetic "
        "files in the same layout")  # fmt: skip
    add("--batch", type=int, default=24, help="clips per training step (24)")
    add("--quick", action="store_true", help="tiny sizes, to check that everything runs")
    add("--markdown", action="store_true", help="print Markdown")
    add("--json", type=Path, help="also write everything to this file")
    asked = parser.parse_args()
    sizes: dict[str, Any] = {"batch": asked.batch, **(QUICK if asked.quick else {})}
    families = {name: resolve_name(FAMILIES[name]) for name in asked.only}
    with TemporaryDirectory(prefix="sedmtl_bench_") as folder:
        corpora = asked.data.resolve() if asked.data else Path(folder) / "corpora"
        report = run(Settings(folder, str(corpora), **sizes), list(families.values()))
    printed = table(report, families)
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1))
    if asked.markdown:
        print(to_markdown([printed]))
    else:
        show([printed], Console(width=WIDTH, highlight=False))


def run(settings: Settings, families: Sequence[Family]) -> dict[str, Any]:
    """Measure families of stages; returns all figures, each timing, and the machine."""
    say("limits of the machine")
    with worker(survey, settings) as measured:
        limits = dict(measured().notes)
    if any(family.on_project for family in families):
        _prepare(settings)
    timings: dict[Prepare, list[Timing]] = {}
    rows = []
    for stage in (stage for family in families for stage in family.stages):
        if limits["GPUs"] or not stage.needs_gpu:
            measure(stage, settings, timings)
            of_sides = {name: timings[side] for name, side in stage.sides.items()}
            each = {name: [asdict(timing) for timing in of_sides[name]] for name in of_sides}
            named = {"stage": stage.name, "unit": stage.unit}
            rows.append({**named, **figures(of_sides, stage.unit), "timings": each})
    sizes = {key: value for key, value in asdict(settings).items() if key != "folder"}
    return {
        "schema": 2,
        "commit": machine.commit(),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "settings": sizes,
        "limits": limits,
        "rows": rows,
    }


def _prepare(settings: Settings) -> None:
    """Make the mixtures and features of the shared project."""
    say("corpora, mixtures and features to work on")
    if not Path(settings.corpora).exists():
        write_corpora(settings)
    path = str(write_project(settings.shared.parent, settings))
    mix = ("mix", "--snr", str(SNR_DB), "--wav", str(settings.n_mixtures))
    for words in (mix, ("features",)):
        python("-m", "sedmtl", *words, "--config", path)


if __name__ == "__main__":
    main()
