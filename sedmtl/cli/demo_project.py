"""The project that `sedmtl demo` makes on the built-in corpus, through the same stages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sedmtl.config import load_config
from sedmtl.data.mixing import MixOptions, mix
from sedmtl.evaluation.evaluate import evaluate
from sedmtl.evaluation.tables import Sheet
from sedmtl.features.extraction import features
from sedmtl.report.score_curves import draw_score_curves
from sedmtl.report.visualize import visualize
from sedmtl.runtime import progress
from sedmtl.runtime.atomic import write_text
from sedmtl.runtime.devices import choose_device, choose_precision
from sedmtl.training.config import TrainConfig
from sedmtl.training.train import TrainOptions, train_one

SNR_DB = 10.0
SETTINGS = {"fold": 1, "width": 8, "epochs": 10, "batch_size": 8}
DATA_YAML = """\
# A small project on sedmtl's built-in corpus. Change it and run the stages again:
#   sedmtl mix --snr 10 && sedmtl features && sedmtl train --fold 1 && sedmtl eval
workdir: work
corpus:
  events: {kind: synthetic}
  scenes: {kind: synthetic}
mixing:
  snrs_db: [10]
  mixtures_per_fold: 80
  reuse_scenes: true
"""


@dataclass(frozen=True)
class Demo:
    """What the demo made."""

    sheets: list[Sheet]
    picture_path: Path
    clip_path: Path
    other_clip: str
    train_options: str


def demo(folder: Path, n_workers: int) -> Demo:
    """Mix, make features, train, evaluate and draw, below `folder`.

    What is there already is kept, so a second run takes seconds. A `data.yaml` that was edited
    is used as it is.
    """
    config_path = folder / "data.yaml"
    if not config_path.exists():
        write_text(config_path, DATA_YAML)
    config = load_config(config_path)
    progress.say(f"project in {folder}: {config_path}")
    (mixtures,) = mix(config, MixOptions((SNR_DB,), stems=False, n_wavs=4, n_workers=n_workers))
    (store,) = features(config, [mixtures.stem], n_workers)
    precision = choose_precision(choose_device(None))
    settings = TrainConfig.of({**SETTINGS, "data": store.stem, "precision": precision})
    run = train_one(config, settings, TrainOptions(resume=True))
    sheets, rows = evaluate(config, [run.name])
    draw_score_curves(config.work_dir / "eval", rows)
    # The first mixtures are of fold 1, which this run has not heard.
    clip_path, other, *_ = sorted(mixtures.with_suffix("").glob("*.wav"))
    picture_path, _, _ = visualize(config, clip_path, run_name=run.name)
    options = " ".join(
        f"--{key.replace('_', '-')} {SETTINGS[key]}" for key in ("width", "epochs", "batch_size")
    )
    return Demo(sheets, picture_path, clip_path, other.name, options)
