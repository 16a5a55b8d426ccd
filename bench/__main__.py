"""`python -m bench`: measure every stage beside its reference, and print the table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import machine
from bench.arithmetic import survey
from bench.project import QUICK, SNR_DB, Settings, write_corpora, write_project
from bench.runner import Family, Lap, Stage, python, worker
from bench.table import Report, Row

FAMILIES = {
    "mix": "mix", "features": "features", "training": "training", "inference": "inference",
    "predict": "predict", "metrics": "metrics", "help": "startup",
}  # fmt: skip
"""What `--only` chooses from, and the module of each."""


def main() -> None:
    """Parse, measure, print."""
    arguments = _parse()
    with TemporaryDirectory(prefix="sedmtl_bench_") as folder:
        report = run(_settings(arguments, folder), arguments.only, synthetic=not arguments.data)
    if arguments.json:
        arguments.json.write_text(json.dumps(report.json(), indent=1))
    print(report.markdown() if arguments.markdown else report.text())


def run(settings: Settings, names: Sequence[str], *, synthetic: bool) -> Report:
    """Measure families of stages, on a synthetic corpus or on the one in the settings."""
    _say("limits of the machine")
    with worker(survey, settings) as lap:
        limits = lap().notes
    families: dict[str, Family] = {
        name: import_module(f"bench.{FAMILIES[name]}").FAMILY for name in names
    }
    _prepare(settings, {family.needs for family in families.values()}, synthetic=synthetic)
    rows = [
        _measure(stage, settings)
        for family in families.values()
        for stage in family.stages
        if limits["GPUs"] or not stage.needs_gpu
    ]
    sizes = {key: value for key, value in asdict(settings).items() if key != "folder"}
    about = {
        "commit": machine.commit(),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "settings": {**sizes, "corpora": "synthetic" if synthetic else settings.corpora},
    }
    return Report(about, limits, families, rows)


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


def _measure(stage: Stage, settings: Settings) -> Row:
    """Run a stage's sides in turn, each in a process of its own."""
    laps: dict[str, list[Lap]] = {name: [] for name in stage.sides}
    with ExitStack() as stack:
        _say(f"{stage.name}: preparing")
        workers = [stack.enter_context(worker(side, settings)) for side in stage.sides.values()]
        n_laps = min(stage.n_laps, settings.laps)
        for number in range(1 - stage.n_warm, n_laps + 1):
            _say(f"{stage.name}: " + (f"lap {number} of {n_laps}" if number > 0 else "warming up"))
            for name, run_lap in zip(laps, workers, strict=True):
                laps[name].append(run_lap())
    timed = {name: all_laps[stage.n_warm :] for name, all_laps in laps.items()}
    return Row(stage.name, stage.unit, timed)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--only", type=_families, default=tuple(FAMILIES), help=f"some of {','.join(FAMILIES)}")
    add("--data", type=Path, help="folder of FSDKaggle2018 and TAU 2019; by default synthetic "
        "files in the same layout")  # fmt: skip
    add("--batch", type=int, help="clips per training step (24)")
    add("--quick", action="store_true", help="tiny sizes: does it run at all?")
    add("--markdown", action="store_true", help="print a section in Markdown")
    add("--json", type=Path, help="write everything to this file, too")
    return parser.parse_args()


def _families(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in FAMILIES:
            raise argparse.ArgumentTypeError(f"no '{name}': choose from {','.join(FAMILIES)}")
    return names


def _settings(arguments: argparse.Namespace, folder: str) -> Settings:
    corpora = arguments.data.resolve() if arguments.data else Path(folder) / "corpora"
    sizes: dict[str, Any] = dict(QUICK) if arguments.quick else {}
    if arguments.batch:
        sizes["batch"] = arguments.batch
    return Settings(folder=folder, corpora=str(corpora), **sizes)


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
