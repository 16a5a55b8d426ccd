"""The project of `sedmtl demo`: the built-in corpus run through the usual stages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sedmtl.config import Config, load_config
from sedmtl.data.mixing import MixOptions, mix
from sedmtl.evaluation.evaluate import evaluate
from sedmtl.evaluation.tables import Table
from sedmtl.features.extraction import features
from sedmtl.report.figures import draw_score_curves
from sedmtl.report.visualize import visualize
from sedmtl.runtime import progress
from sedmtl.runtime.atomic import write_text
from sedmtl.runtime.devices import choose_device, choose_precision
from sedmtl.training.config import TrainConfig
from sedmtl.training.job import TrainOptions
from sedmtl.training.recipe import with_recipe
from sedmtl.training.train import train_one

SNR_DB = 10.0
RECIPES: dict[str, dict[str, Any]] = {
    "paper": {"width": 8, "epochs": 8, "batch_size": 4, "lr": 2e-3},
    "strong": {"epochs": 15, "alpha": "0.001"},
}
"""The recipes of the two runs, and the settings that override them: at full size the paper's would
take hours. The strong one comes last, because commands use the newest run by default.
"""

DATA_YAML = """\
# A small project on sedmtl's built-in corpus. Change it and run the stages again:
#   sedmtl mix --snr 10 && sedmtl features && sedmtl train --fold 1 && sedmtl eval
workdir: work
corpus:
  events: {kind: synthetic}
  scenes: {kind: synthetic}
# Half the paper's sample rate, duration, event length and mel bins, to train within minutes.
mixing:
  sample_rate: 16000
  duration_s: 5
  event_s: 1
  onsets: random
  snrs_db: [10]
  mixtures_per_fold: 80
  reuse_scenes: true
features: {window: 1024, hop: 1024, n_mels: 32}
"""


@dataclass(frozen=True)
class Demo:
    """The results of the demo."""

    tables: list[Table]
    picture_path: Path
    clip_path: Path
    other_clip: str


def demo(folder: Path, n_workers: int) -> Demo:
    """Mix, make features, train two networks, evaluate and draw them, below `folder`.

    Keeps existing results, so a second run takes seconds, and an existing `data.yaml`.
    """
    config_path = folder / "data.yaml"
    if not config_path.exists():
        write_text(config_path, DATA_YAML)
    config = load_config(config_path)
    progress.say(f"project in {folder}: {config_path}")
    (mixtures,) = mix(config, MixOptions((SNR_DB,), stems=False, n_wavs=4, n_workers=n_workers))
    (store,) = features(config, [mixtures.stem], n_workers)
    runs = _train_both(config, store.stem)
    tables, rows = evaluate(config, [run.name for run in runs])
    draw_score_curves(config.work_dir / "eval", rows)
    # The first mixtures belong to fold 1, which was held out from training.
    clip_path, other, *_ = sorted(mixtures.with_suffix("").glob("*.wav"))
    paper, strong = runs
    picture_path, _, _ = visualize(config, clip_path, run_name=strong.name, compare_name=paper.name)
    return Demo(tables, picture_path, clip_path, other.name)


def _train_both(config: Config, data: str) -> list[Path]:
    """Train one network per recipe on the same fold; return the run folders in that order."""
    shared = {"fold": 1, "data": data, "precision": choose_precision(choose_device(None))}
    remix = config.remix.model_dump(mode="json")
    return [
        train_one(
            config,
            TrainConfig.of({**shared, **with_recipe(recipe, overruled, remix)}),
            TrainOptions(resume=True),
        )
        for recipe, overruled in RECIPES.items()
    ]
