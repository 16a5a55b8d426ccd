"""How cost grows with the number of mixtures: `python -m bench.scale`.

Each point is one whole process: a plan, `sedmtl mix` or `sedmtl features`, at the paper's settings.
The synthetic corpus is small and its files are reused: only what grows with the number of mixtures
is measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from bench.project import SNR_DB, Settings, write_corpora, write_project
from bench.runner import process, worker
from sedmtl.config import Mixing
from sedmtl.data.corpora import EventClip, Scene
from sedmtl.data.plan import plan

N_CLASSES = 41


class Point(NamedTuple):
    """What one process cost: `work` is plan, mix or features, `n_items` the mixtures."""

    work: str
    n_items: int
    seconds: float
    peak_mb: float


def main() -> None:
    """Measure, print one line per point, draw."""
    arguments, points = _parse(), []
    lines = [",".join(Point._fields)]
    print(lines[0])
    with TemporaryDirectory(prefix="sedmtl_scale_", dir=arguments.folder) as folder:
        for point in measure(Path(folder), arguments.plans, arguments.sizes):
            points.append(point)
            lines.append(f"{point.work},{point.n_items},{point.seconds:.2f},{point.peak_mb:.2f}")
            print(lines[-1], flush=True)
    if arguments.csv:
        arguments.csv.write_text("\n".join([*lines, ""]))
    if arguments.png:
        draw(points, arguments.png)


def measure(folder: Path, plans: Sequence[int], sizes: Sequence[int]) -> Iterator[Point]:
    """A point per number of mixtures to plan, and two per number to render."""
    settings = Settings(
        str(folder), str(folder / "corpora"), n_clips=82, n_scenes=40, n_classes=N_CLASSES
    )
    write_corpora(settings)

    def point(work: str, n_items: int, *words: str) -> Point:
        with worker(partial(process, words=words), settings) as run:
            lap = run()
        return Point(work, n_items, lap.seconds, lap.peak_mb)

    for n in plans:
        yield point("plan", n, "-c", f"from bench.scale import make_plan; make_plan({n})")
    for n in sizes:
        # Removed afterwards: 10,000 mixtures take 6.4 GB.
        with TemporaryDirectory(dir=folder) as project:
            config = str(write_project(Path(project), replace(settings, n_mixtures=n)))
            for work, *options in (("mix", "--snr", str(SNR_DB)), ("features",)):
                yield point(work, n, "-m", "sedmtl", work, *options, "--config", config)


def make_plan(n_mixtures: int) -> None:
    """Plan mixtures of as many clips and scenes as the paper's corpora have, without audio."""
    labels = [f"class_{i % N_CLASSES:02d}" for i in range(9_473)]
    clips = [EventClip(f"{i}.wav", Path(), label, str(i)) for i, label in enumerate(labels)]
    scenes = [Scene(f"{i}.wav", Path(), "scene", str(i)) for i in range(14_400)]
    durations_s = {clip.name: 5.0 for clip in clips}
    mixing = Mixing(mixtures_per_fold=n_mixtures // 4, reuse_scenes=True)
    plan(clips, scenes, durations_s, mixing, np.random.default_rng(0)).text()


def draw(points: Sequence[Point], path: Path) -> None:
    """Two panels: seconds and memory against the number of mixtures."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    for work in dict.fromkeys(point.work for point in points):
        _, n_items, seconds, peak_mb = zip(*(p for p in points if p.work == work), strict=True)
        time_axes.plot(n_items, seconds, "o-", label=work)
        memory_axes.plot(n_items, peak_mb, "o-")
    for axes in figure.axes:
        axes.set(xlabel="mixtures", xscale="log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.grid(alpha=0.3)
    memory_axes.set_ylabel("peak resident memory, MB")
    memory_axes.set_ylim(bottom=0)
    time_axes.set(ylabel="seconds", yscale="log", ylim=(1, None))
    time_axes.yaxis.set_major_formatter("{x:,.0f}")
    time_axes.yaxis.set_minor_formatter("")
    time_axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    add = parser.add_argument
    add("--sizes", type=_numbers, default=[1_000, 2_000, 5_000, 10_000], help="mixtures to render")
    add("--plans", type=_numbers, default=[10_000, 20_000, 40_000, 80_000], help="mixtures to plan")
    add("--folder", type=Path, help="where to work, with some GB to spare")
    add("--csv", type=Path, help="write the points to this file, too")
    add("--png", type=Path, help="draw the points")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    main()
