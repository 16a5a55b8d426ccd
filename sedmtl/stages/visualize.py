"""`sedmtl visualize`: an audio file -> the picture of what the network saw in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sedmtl import plots
from sedmtl.checkpoint import find_run
from sedmtl.config import Config
from sedmtl.detector import Detector, Prediction
from sedmtl.errors import SedmtlError
from sedmtl.events import Event, read_strong_labels


def visualize(
    config: Config,
    audio_path: Path,
    *,
    run_name: str | None = None,
    start_s: float = 0.0,
    labels_path: Path | None = None,
    out_path: Path | None = None,
) -> tuple[Path, Path, Prediction]:
    """Draw one clip of a file.

    Args:
        config: Of the project; says where runs and figures are.
        audio_path: Any audio file; of a longer one the clip from `start_s` on.
        run_name: By default the newest finished run.
        start_s: In seconds.
        labels_path: A strong-label TSV; by default that of the mixtures, if it knows the file.
        out_path: By default `work/figures/<file>.png`.

    Returns:
        The picture, the run it was made with, and the prediction.
    """
    run = find_run(config.work_dir / "runs", run_name)
    prediction = Detector.load(run).predict(audio_path, start_s=start_s)
    truth = _truth(config, audio_path, labels_path)
    begin, end = start_s, start_s + prediction.duration_s
    title = f"{audio_path.name}, {begin:g} to {end:.4g} s · {run.name}"
    path = out_path or config.work_dir / "figures" / f"{audio_path.stem}.png"
    try:
        plots.save(plots.figure_3(prediction, title, truth), path)
    except (OSError, ValueError) as error:
        raise SedmtlError(f"cannot write the picture {path}: {error}") from error
    return path, run, prediction


def _truth(config: Config, audio_path: Path, labels_path: Path | None) -> Sequence[Event] | None:
    if labels_path is not None:
        labels = read_strong_labels(labels_path)
        if audio_path.name not in labels:
            raise SedmtlError(f"{labels_path} has no row for {audio_path.name}")
        return labels[audio_path.name]
    # A file of the same name from elsewhere is not one of our mixtures.
    plan_path = config.work_dir / "mixtures" / "plan.tsv"
    ours = audio_path.resolve().is_relative_to(plan_path.parent.resolve())
    return (
        read_strong_labels(plan_path).get(audio_path.name) if ours and plan_path.is_file() else None
    )
