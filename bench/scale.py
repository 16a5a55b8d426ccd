"""Time and memory for ten times as many mixtures, comparing whole processes.

Measures planning, `sedmtl mix` and `sedmtl features` at the paper's settings. The synthetic corpus
is small and its files are reused, so that only what grows with the number of mixtures is measured.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.project import SNR_DB, Settings, write_project
from bench.runner import Family, Run, Stage, process
from sedmtl.config import Mixing
from sedmtl.data.corpora import EventClip, Scene
from sedmtl.data.plan import plan


def planning(settings: Settings, share: float) -> Run:
    """A process that makes a plan."""
    n = round(8 * share * settings.n_scaled)
    return process(settings, ("-c", f"from bench.scale import make_plan; make_plan({n})"))


def command(settings: Settings, share: float, words: tuple[str, ...]) -> Run:
    """A sedmtl process; run `mix` before `features`, which reads its output."""
    sized = replace(settings, n_mixtures=round(share * settings.n_scaled))
    path = write_project(Path(settings.folder) / f"scale_{sized.n_mixtures}", sized)
    return process(settings, ("-m", "sedmtl", *words, "--config", str(path)))


def make_plan(n_mixtures: int) -> None:
    """Plan mixtures with as many clips and scenes as in the paper's corpora, without audio."""
    labels = [f"class_{i % 41:02d}" for i in range(9_473)]
    clips = [EventClip(f"{i}.wav", Path(), label, str(i)) for i, label in enumerate(labels)]
    scenes = [Scene(f"{i}.wav", Path(), "scene", str(i)) for i in range(14_400)]
    durations_s = {clip.name: 5.0 for clip in clips}
    mixing = Mixing(mixtures_per_fold=n_mixtures // 4, reuse_scenes=True)
    plan(clips, scenes, durations_s, mixing, np.random.default_rng(0)).text()


FAMILY = Family(
    tuple(
        Stage(f"{name}, ten times as many", "s", partial(run, share=1), partial(run, share=0.1),
              n_timings=1, n_warm=0)
        for name, run in (
            ("plan", planning),
            ("mix", partial(command, words=("mix", "--snr", str(SNR_DB)))),
            ("features", partial(command, words=("features",))),
        )
    ),
    "a tenth of the mixtures (`n_scaled` in the settings; plans have eight times as many)",
)  # fmt: skip
