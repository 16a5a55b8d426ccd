"""`python -m bench`: measure every stage beside its reference, and print the table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import machine
from bench.corpus import write_corpora
from bench.project import QUICK, SNR_DB, Settings, write_project
from bench.runner import Side, python, worker
from bench.stages import FAMILIES
from bench.table import Report, measure


def main() -> None:
    """Parse, measure, print."""
    arguments = _parse()
    with TemporaryDirectory(prefix="sedmtl_bench_") as folder:
        report = run(_settings(arguments, folder), arguments.only, synthetic=not arguments.data)
    if arguments.json:
        arguments.json.write_text(json.dumps(report.json(), indent=1))
    print(report.markdown() if arguments.markdown else report.text())


def run(settings: Settings, families: Sequence[str], *, synthetic: bool) -> Report:
    """Measure families of stages, on a synthetic corpus or on the one in the settings."""
    _say("limits of the machine")
    with worker(Side("arithmetic:survey"), settings) as survey:
        limits = survey().notes
    _prepare(settings, {FAMILIES[name].needs for name in families}, synthetic=synthetic)
    rows = [
        measure(stage, settings, _say)
        for name in families
        for stage in FAMILIES[name].stages
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
    if needs == {"nothing"}:
        return
    _say("corpora, mixtures and features to work on")
    if synthetic:
        write_corpora(settings)
    path = str(write_project(settings.shared.parent, settings))
    mix = ("mix", "--snr", str(SNR_DB), "--wav", str(settings.n_mixtures))
    for words in (mix, ("features",)) if "features" in needs else (mix,):
        python(settings, "-m", "sedmtl", *words, "--config", path)()


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
