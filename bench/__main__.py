"""`python -m bench`: measure every stage beside its reference, and print the table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from pkgutil import resolve_name
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from bench import machine
from bench.arithmetic import survey
from bench.project import QUICK, SNR_DB, Settings, write_corpora, write_project
from bench.runner import Earlier, Family, Lap, Stage, python, worker
from bench.table import WIDTH, Report, Row
from sedmtl.cli.output import show
from sedmtl.evaluation.tables import to_markdown

FAMILIES = {
    "mix": "bench.mix:FAMILY",
    "features": "bench.features:FAMILY",
    "training": "bench.training:TRAINING",
    "remix": "bench.remix:FAMILY",
    "inference": "bench.training:INFERENCE",
    "predict": "bench.predict:FAMILY",
    "metrics": "bench.metrics:FAMILY",
    "help": "bench.runner:STARTUP",
}
"""What `--only` chooses from, and where each is."""


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--only", type=_families, default=tuple(FAMILIES), help=f"some of {','.join(FAMILIES)}")
    add("--data", type=Path, help="folder of FSDKaggle2018 and TAU 2019; by default synthetic "
        "files in the same layout")  # fmt: skip
    add("--batch", type=int, default=0, help="clips per training step (24)")
    add("--quick", action="store_true", help="tiny sizes: does it run at all?")
    add("--markdown", action="store_true", help="print a section in Markdown")
    add("--json", type=Path, help="write everything to this file, too")
    arguments = parser.parse_args()
    sizes: dict[str, Any] = dict(QUICK) if arguments.quick else {}
    sizes |= {"batch": arguments.batch} if arguments.batch else {}
    with TemporaryDirectory(prefix="sedmtl_bench_") as folder:
        corpora = arguments.data.resolve() if arguments.data else Path(folder) / "corpora"
        settings = Settings(folder, str(corpora), **sizes)
        report = run(settings, arguments.only, synthetic=not arguments.data)
    if arguments.json:
        arguments.json.write_text(json.dumps(report.json(), indent=1))
    if arguments.markdown:
        print(to_markdown([report.table()]))
    else:
        show([report.table()], Console(width=WIDTH, highlight=False))


def _families(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in FAMILIES:
            raise argparse.ArgumentTypeError(f"no '{name}': choose from {','.join(FAMILIES)}")
    return names


def run(settings: Settings, names: Sequence[str], *, synthetic: bool) -> Report:
    """Measure families of stages, on a synthetic corpus or on the one in the settings."""
    _say("limits of the machine")
    with worker(survey, settings) as lap:
        limits = lap().notes
    families: dict[str, Family] = {name: resolve_name(FAMILIES[name]) for name in names}
    _prepare(settings, {family.needs for family in families.values()}, synthetic=synthetic)
    rows: dict[str, Row] = {}
    for family in families.values():
        for stage in family.stages:
            if limits["GPUs"] or not stage.needs_gpu:
                rows[stage.name] = _measure(stage, settings, rows)
    sizes = {key: value for key, value in asdict(settings).items() if key != "folder"}
    about = {
        "commit": machine.commit(),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "settings": {**sizes, "corpora": "synthetic" if synthetic else settings.corpora},
    }
    return Report(about, limits, families, list(rows.values()))


def _prepare(settings: Settings, needs: set[str], *, synthetic: bool) -> None:
    """Make the stores of the shared project that the stages need."""
    if not any(needs):
        return
    _say("corpora, mixtures and features to work on")
    if synthetic:
        write_corpora(settings)
    path = str(write_project(settings.shared.parent, settings))
    mix = ("mix", "--snr", str(SNR_DB), "--wav", str(settings.n_mixtures))
    for words in (mix, ("features",)) if "features" in needs else (mix,):
        python("-m", "sedmtl", *words, "--config", path)


def _measure(stage: Stage, settings: Settings, measured: Mapping[str, Row]) -> Row:
    """Run a stage's sides in turn, each in a process of its own."""
    sides = {name: side for name, side in stage.sides.items() if not isinstance(side, Earlier)}
    laps: dict[str, list[Lap]] = {name: [] for name in sides}
    with ExitStack() as stack:
        _say(f"{stage.name}: preparing")
        workers = [stack.enter_context(worker(side, settings)) for side in sides.values()]
        n_laps = min(stage.n_laps, settings.laps)
        for number in range(1 - stage.n_warm, n_laps + 1):
            _say(f"{stage.name}: " + (f"lap {number} of {n_laps}" if number > 0 else "warming up"))
            for name, run_lap in zip(laps, workers, strict=True):
                laps[name].append(run_lap())
    timed: dict[str, Sequence[Lap]] = {name: laps[name][stage.n_warm :] for name in laps}
    for name, side in stage.sides.items():
        if isinstance(side, Earlier):
            timed[name] = measured[side.stage].laps[side.side]
    return Row(stage.name, stage.unit, timed)


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
