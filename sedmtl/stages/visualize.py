"""`sedmtl visualize`: an audio file -> the picture of what the network saw in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sedmtl import plots
from sedmtl.checkpoint import find_run
from sedmtl.config import Config
from sedmtl.detector import Detector, Inspection
from sedmtl.errors import SedmtlError
from sedmtl.events import Event, read_strong_labels
from sedmtl.stores import Store


def visualize(
    config: Config,
    audio_path: Path,
    *,
    run_name: str | None = None,
    start_s: float = 0.0,
    labels_path: Path | None = None,
    out_path: Path | None = None,
) -> tuple[Path, Path, Inspection]:
    """Draw one clip of a file.

    Args:
        config: Of the project; says where runs and figures are.
        audio_path: Any audio file; of a longer one the clip from `start_s` on.
        run_name: By default the newest finished run.
        start_s: In seconds.
        labels_path: A strong-label TSV; by default those of the mixture, if it is one of ours.
        out_path: By default `work/figures/<file>.png`.

    Returns:
        The picture, the run it was made with, and the inspection.
    """
    run = find_run(config.work_dir / "runs", run_name)
    inspection = Detector.load(run).inspect(audio_path, start_s=start_s)
    truth = _truth(config, audio_path, labels_path)
    begin, end = start_s, start_s + inspection.duration_s
    title = f"{audio_path.name}, {begin:.1f} to {end:.1f} s · {run.name}"
    path = out_path or config.work_dir / "figures" / f"{audio_path.stem}.png"
    path = path if path.suffix else path.with_suffix(".png")
    try:
        plots.save(plots.figure_3(inspection, title, truth), path)
    except (OSError, ValueError) as error:
        raise SedmtlError(f"cannot write the picture {path}: {error}") from error
    return path, run, inspection


def _truth(config: Config, audio_path: Path, labels_path: Path | None) -> Sequence[Event] | None:
    if labels_path is not None:
        labels = read_strong_labels(labels_path)
        if audio_path.name not in labels:
            raise SedmtlError(f"{labels_path} has no row for {audio_path.name}")
        return labels[audio_path.name]
    # A WAV file that `mix` wrote lies in a folder that is named after its store.
    store_path = audio_path.resolve().parent.with_suffix(".h5")
    ours = store_path.parent == (config.work_dir / "mixtures").resolve()
    return _truth_of_mixture(store_path, audio_path.name) if ours and store_path.is_file() else None


def _truth_of_mixture(store_path: Path, name: str) -> Sequence[Event] | None:
    with Store(store_path, "waveform", "sedmtl mix") as store:
        if name not in store.clips.name:
            return None
        events = store.clips.events
        ours = events.mixture == list(store.clips.name).index(name)
        columns = (events.label[ours], events.onset_s[ours], events.offset_s[ours])
        return [
            Event(store.classes[label], float(onset_s), float(offset_s))
            for label, onset_s, offset_s in zip(*columns, strict=True)
        ]
