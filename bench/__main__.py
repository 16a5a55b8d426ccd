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
from bench.measurement import measure, survey
from bench.project import prepare
from bench.settings import QUICK, Settings
from bench.stages import FAMILIES
from bench.table import Report


def main() -> None:
    """Parse, measure, print."""
    arguments = _parse()
    with TemporaryDirectory(prefix="sedmtl_bench_") as folder:
        report = run(_settings(arguments, folder), arguments.only, make_corpora=not arguments.data)
    if arguments.json:
        arguments.json.write_text(json.dumps(report.json(), indent=1))
    print(report.markdown() if arguments.markdown else report.text())


def run(settings: Settings, families: Sequence[str], *, make_corpora: bool) -> Report:
    """Measure families of stages."""
    _say("limits of the machine")
    limits = survey(settings)
    needs = {FAMILIES[name].needs for name in families}
    if needs - {"nothing"}:
        _say("corpora, mixtures and features to work on")
        if make_corpora:
            n_files = settings.n_clips, settings.n_scenes
            write_corpora(Path(settings.corpora), *n_files, settings.n_classes)
        prepare(settings, with_features="features" in needs)
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
        "settings": {**sizes, "corpora": "synthetic" if make_corpora else settings.corpora},
    }
    return Report(about, limits, families, rows)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", type=_families, default=tuple(FAMILIES),
                        help=f"some of {','.join(FAMILIES)}")  # fmt: skip
    parser.add_argument("--data", type=Path, help="folder of FSDKaggle2018 and TAU 2019; by "
                        "default synthetic files in the same layout")  # fmt: skip
    parser.add_argument("--batch", type=int, help="clips a training step (24)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    parser.add_argument("--markdown", action="store_true", help="print a section in Markdown")
    parser.add_argument("--json", type=Path, help="write everything to this file, too")
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
