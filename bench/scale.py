"""How cost grows with the number of mixtures: `python -m bench.scale`.

Each point is a process of its own: a plan, `sedmtl mix` or `sedmtl features`, at several sizes, at
the paper's settings. The corpus is synthetic and small, its files are reused: what is measured is
what grows with the number of mixtures. Resident memory is looked at twice a second.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import numpy as np
from matplotlib.figure import Figure

from bench import corpus
from bench.project import SNR_DB, write_project
from bench.settings import Settings
from sedmtl.config import Mixing
from sedmtl.data.corpora import EventClip, Scene
from sedmtl.data.plan import plan

LOOK_S = 0.5
"""Between two looks at a process's memory."""

N_CLIPS, N_SCENES, N_CLASSES = 82, 40, 41


@dataclass(frozen=True)
class Point:
    """What one process cost.

    Attributes:
        work: What it did: plan, mix or features.
        n_items: Mixtures.
        seconds: From its start to its end.
        peak_mb: Of resident memory.
        median_mb: Of the resident memory that was seen; flat memory has it near the peak.
    """

    work: str
    n_items: int
    seconds: float
    peak_mb: float
    median_mb: float


def main() -> None:
    """Measure, print a line a point, draw."""
    arguments = _parse()
    if arguments.plan_only:
        plan_only(arguments.plan_only)
        return
    print(",".join(field.name for field in fields(Point)))
    points = []
    with TemporaryDirectory(prefix="sedmtl_scale_", dir=arguments.folder) as folder:
        corpus.write_corpora(Path(folder) / "corpora", N_CLIPS, N_SCENES, N_CLASSES)
        for point in _points(Path(folder), arguments.sizes, arguments.plans):
            points.append(point)
            print(line_of(point), flush=True)
    if arguments.csv:
        lines = [",".join(field.name for field in fields(Point)), *map(line_of, points)]
        arguments.csv.write_text("\n".join([*lines, ""]))
    if arguments.png:
        draw(points, arguments.png)


def line_of(point: Point) -> str:
    """A line of the CSV."""
    return ",".join(f"{x:.2f}" if isinstance(x, float) else str(x) for x in astuple(point))


def _points(folder: Path, sizes: Sequence[int], plans: Sequence[int]) -> Iterator[Point]:
    for n in plans:
        yield watch("plan", n, ["-m", "bench.scale", "--plan-only", str(n)])
    for n in sizes:
        settings = Settings(folder=str(folder), corpora=str(folder / "corpora"), n_mixtures=n)
        # Removed at once: 10,000 mixtures take 6.4 GB.
        with TemporaryDirectory(dir=folder) as project:
            path = write_project(Path(project), settings)
            words = ["--config", str(path)]
            yield watch("mix", n, ["-m", "sedmtl", "mix", "--snr", str(SNR_DB), *words])
            yield watch("features", n, ["-m", "sedmtl", "features", *words])


def watch(work: str, n_items: int, words: Sequence[str]) -> Point:
    """Run Python on the words, and look at its memory until it ends.

    Raises:
        SystemExit: It failed.
    """
    peaks_mb, seen_mb = [0.0], [0.0]
    with TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *words],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=Path(__file__).parents[1],
        )
        while not _ends(process, LOOK_S):
            memory = memory_mb(process.pid)
            peaks_mb.append(memory.get("VmHWM", 0.0))
            seen_mb.append(memory.get("VmRSS", 0.0))
        seconds = time.perf_counter() - started
        if process.returncode:
            errors.seek(0)
            raise SystemExit(errors.read().decode(errors="replace"))
    return Point(work, n_items, seconds, max(peaks_mb), float(np.median(seen_mb)))


def memory_mb(pid: int) -> dict[str, float]:
    """Resident memory now (VmRSS) and at most (VmHWM), by Linux's /proc; none once it has ended."""
    pairs = [line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return {pair[0][:-1]: int(pair[1]) / 1024 for pair in pairs if pair[0] in ("VmRSS:", "VmHWM:")}


def _ends(process: subprocess.Popen[bytes], within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def plan_only(n_mixtures: int) -> None:
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
        ours = [point for point in points if point.work == work]
        n_items = [point.n_items for point in ours]
        time_axes.plot(n_items, [point.seconds for point in ours], "o-", label=work)
        memory_axes.plot(n_items, [point.peak_mb for point in ours], "o-", label=work)
    for axes, what in ((time_axes, "seconds"), (memory_axes, "peak resident memory, MB")):
        axes.set(xlabel="mixtures", ylabel=what, xscale="log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.grid(alpha=0.3)
    time_axes.set(yscale="log", ylim=(1, None))
    time_axes.yaxis.set_major_formatter("{x:,.0f}")
    time_axes.yaxis.set_minor_formatter("")
    memory_axes.set_ylim(bottom=0)
    time_axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--sizes", type=_numbers, default=[1_000, 2_000, 5_000, 10_000],
                        help="mixtures to render and to make features of")  # fmt: skip
    parser.add_argument("--plans", type=_numbers, default=[10_000, 20_000, 40_000, 80_000],
                        help="mixtures to plan")  # fmt: skip
    parser.add_argument("--folder", type=Path, help="where to work, with some GB to spare")
    parser.add_argument("--csv", type=Path, help="write the points to this file, too")
    parser.add_argument("--png", type=Path, help="draw the points")
    parser.add_argument("--plan-only", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    main()
