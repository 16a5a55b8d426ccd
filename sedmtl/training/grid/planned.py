"""Sizes of a grid's runs, from their stores or, for stores still to be made, from data.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sedmtl.config import Config, Mixing
from sedmtl.config.corpora import FsdKaggle2018, Tau2019
from sedmtl.data import audio
from sedmtl.data.clips import LabelledClips, load_clips
from sedmtl.data.corpora import load_events
from sedmtl.data.download.catalogue import CORPORA
from sedmtl.data.frame_times import frame_input
from sedmtl.data.grid import Grid
from sedmtl.data.mixing import mixture_arrays
from sedmtl.data.reservation import validation_share
from sedmtl.features.recordings import window_table
from sedmtl.features.rows import feature_arrays, open_front_end
from sedmtl.features.targets import TARGETS
from sedmtl.models.frame_input import FrameInput
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.progress import size_text
from sedmtl.store import RowArray, Store, data_name, disk_bytes, folds_of
from sedmtl.training.config import TrainConfig
from sedmtl.training.split import NO_FOLD
from sedmtl.training.start import check_targets, stored_arrays
from sedmtl.training.workload import Workload

PAPER_CLASSES = 41
"""Assumed number of classes of a corpus that does not exist yet; it hardly affects the cost."""

OWN = "clips"
"""Name of the store of the user's own recordings."""


def planned_data(project: Config) -> list[str]:
    """Names of the feature stores that data.yaml describes, whether they exist or not."""
    if project.corpus.clips:
        return [OWN]
    return [data_name(snr_db) for snr_db in project.mixing.snrs_db]


def planned_folds(project: Config, path: Path) -> list[int]:
    """Folds of a feature store, whether it exists or not."""
    if path.is_file():
        return folds_of(path)
    if path.stem == OWN:
        return [int(fold) for fold in np.unique(load_clips(project).fold)]
    return list(range(1, project.mixing.folds + 1))


def workloads(project: Config, data: str, configs: Sequence[TrainConfig]) -> dict[int, Workload]:
    """Sizes of runs on a store by held-out fold, whether the store exists or not.

    Args:
        project: The project.
        data: Name of the store.
        configs: Runs on it.

    Raises:
        SedmtlError: A fold does not exist or leaves too few clips, or the store lacks what a task
            needs.
    """
    path, folds = feature_path(project, data), {config.fold for config in configs}
    if path.is_file():
        with Store(path, "logmel") as store:
            for config in configs:
                check_targets(config, store)
            return {fold: Workload.of_store(store, fold) for fold in folds}
    arrays, frames = _planned_rows(project, with_frames=_take_frames(configs))
    if data == OWN:
        clips = _clips_in_windows(project)
        n_classes = len(clips.classes)
        return {fold: Workload.of_clips(clips, n_classes, arrays, fold, frames) for fold in folds}
    mixing, n_classes = project.mixing, _n_classes(project)
    sizes = (n_classes, arrays, mixing.n_mixtures)
    return {fold: Workload(*sizes, *_parts(mixing, fold), frames=frames) for fold in folds}


def _clips_in_windows(project: Config) -> LabelledClips:
    """The recordings of `corpus.clips` with their windows; unreadable files get one window."""
    clips = load_clips(project)
    probed = audio.probe_each(clips.paths)
    lengths_s = [getattr(found, "duration_s", 0.0) for found in probed]
    return replace(clips, windows=window_table(lengths_s, project))


def _parts(mixing: Mixing, fold: int) -> tuple[int, int]:
    """Numbers of training and of scored mixtures, with a fold held out."""
    if not NO_FOLD <= fold <= mixing.folds:
        raise SedmtlError(f"there is no fold {fold}: data.yaml has {mixing.folds} folds")
    n_held_out = mixing.mixtures_per_fold * (fold != NO_FOLD)
    n_left = mixing.n_mixtures - n_held_out
    n_validation = round(validation_share(mixing.n_mixtures, mixing.folds) * n_left)
    return n_left - n_validation, n_validation + n_held_out


def needed_data(project: Config, configs: Sequence[TrainConfig]) -> list[str]:
    """A line that lists the data still to be made before the runs can be trained, if any."""
    missing = [each for each in configs if not feature_path(project, each.data).is_file()]
    with_stems = {each.data for each in missing if stored_arrays(each)}
    features = {each.data: each.data in with_stems for each in missing}
    mixtures = {
        name: stems
        for name, stems in features.items()
        if name != OWN and not _has_mixtures(project, name, stems=stems)
    }
    corpora = [
        CORPORA[each.kind]
        for each in (project.corpus.events, project.corpus.scenes)
        if mixtures
        and isinstance(each, FsdKaggle2018 | Tau2019)
        and not project.locate(each.root).exists()
    ]
    n_clips, option = project.mixing.n_mixtures, " --stems" * any(mixtures.values())
    with_frames = _take_frames(missing)
    is_partial = project.features.encoder is not None and not with_frames
    exclusion = ", without the encoder's frames" * is_partial
    sizes = {
        f"recordings ('sedmtl download {' '.join(each.name for each in corpora)}')": sum(
            each.n_unpacked_bytes for each in corpora
        ),
        f"mixtures ('sedmtl mix{option}')": sum(
            disk_bytes(mixture_arrays(project.mixing, stems=stems), n_clips)
            for stems in mixtures.values()
        ),
        f"features ('sedmtl features'){exclusion}": sum(
            _feature_bytes(project, name, stems=stems, with_frames=with_frames)
            for name, stems in features.items()
        ),
    }
    steps = [f"{size_text(n_bytes)} of {what}" for what, n_bytes in sizes.items() if n_bytes]
    return [f"still missing: {', '.join(steps)}"] if steps else []


def _take_frames(configs: Iterable[TrainConfig]) -> bool:
    return any("frames" in config.network.inputs for config in configs)


def _has_mixtures(project: Config, name: str, *, stems: bool) -> bool:
    path = project.work_dir / "mixtures" / f"{name}.h5"
    if not (path.is_file() and stems):
        return path.is_file()
    with Store(path, "waveform") as store:
        return "event_stems" in store.arrays


def _feature_bytes(project: Config, name: str, *, stems: bool, with_frames: bool) -> int:
    arrays, _ = _planned_rows(project, with_frames=with_frames)
    if not stems:
        arrays = {name: each for name, each in arrays.items() if name not in TARGETS}
    clips = _clips_in_windows(project) if name == OWN else None
    n_rows = project.mixing.n_mixtures if clips is None else clips.n_rows
    return disk_bytes(arrays, n_rows)


def _planned_rows(
    project: Config, *, with_frames: bool
) -> tuple[dict[str, RowArray], FrameInput | None]:
    """All arrays that a feature store may have, and the encoder's frames, if there is an encoder.

    The encoder's file is opened only if `with_frames`.
    """
    mixing, features = project.mixing, project.features
    encoder_path = project.encoder_path if with_frames else None
    encoder = open_front_end(mixing.sample_rate, features, encoder_path).encoder
    arrays = feature_arrays(mixing, features, encoder, mixing.events_per_mixture)
    n_frames, _ = arrays["logmel"].row_shape
    logmel = Grid(mixing.sample_rate, mixing.n_samples, n_frames, features.window, features.hop)
    return arrays, frame_input(None if encoder is None else encoder.card, logmel)


def feature_path(project: Config, data: str) -> Path:
    """Path of a feature store, whether it exists or not."""
    return project.work_dir / "features" / f"{data}.h5"


def _n_classes(project: Config) -> int:
    if project.corpus.events is None or project.corpus.events.kind == "synthetic":
        return PAPER_CLASSES  # counting would generate the synthetic corpus
    try:
        return len({clip.label for clip in load_events(project) if clip.usable})
    except SedmtlError:
        return PAPER_CLASSES
