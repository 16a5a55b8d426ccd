"""The sizes of a grid's runs: of their stores, or of what data.yaml will make of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from sedmtl.config import Config
from sedmtl.config.corpora import FsdKaggle2018, Tau2019
from sedmtl.data import audio
from sedmtl.data.clips import LabelledClips, load_clips
from sedmtl.data.corpora import load_events
from sedmtl.data.download.catalogue import CORPORA
from sedmtl.data.frame_times import frame_input
from sedmtl.data.grid import Grid
from sedmtl.data.reservation import validation_share
from sedmtl.features.recordings import window_table
from sedmtl.features.rows import open_front_end
from sedmtl.logmel import n_frames
from sedmtl.models.frame_input import FrameInput
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.progress import size_text
from sedmtl.store import Store, data_name, folds_of
from sedmtl.training.cost import Workload
from sedmtl.training.split import NO_FOLD

PAPER_CLASSES = 41
"""Stands for the number of classes of a corpus that is not there yet: it hardly matters."""

OWN = "clips"
"""Name of the store of one's own recordings."""


def planned_data(project: Config) -> list[str]:
    """Names of the feature stores that data.yaml describes, there or not."""
    if project.corpus.clips:
        return [OWN]
    return [data_name(snr_db) for snr_db in project.mixing.snrs_db]


def planned_folds(project: Config, path: Path) -> list[int]:
    """The folds of a feature store, there or not."""
    if path.is_file():
        return folds_of(path)
    if path.stem == OWN:
        return [int(fold) for fold in np.unique(load_clips(project).fold)]
    return list(range(1, project.mixing.folds + 1))


def workloads(project: Config, data: str, folds: Iterable[int]) -> dict[int, Workload]:
    """The sizes of the runs that hold out some folds, whether their store is there or not.

    Raises:
        SedmtlError: A fold does not exist, or leaves too little.
    """
    path = feature_path(project, data)
    if path.is_file():
        with Store(path, "logmel") as store:
            return {fold: Workload.of_store(store, fold) for fold in folds}
    if data == OWN:
        clips = _clips_in_windows(project)
        sizes = (len(clips.classes), _n_frames(project), project.features.n_mels)
        frames = _frames(project)
        return {fold: Workload.of_clips(clips, *sizes, fold, frames) for fold in folds}
    n_classes = _n_classes(project)
    return {fold: _of_mixtures(project, path, fold, n_classes) for fold in folds}


def _clips_in_windows(project: Config) -> LabelledClips:
    """The recordings of `corpus.clips` with their windows: one, if a file cannot be read."""
    clips = load_clips(project)
    probed = audio.probe_each(clips.paths)
    lengths_s = [getattr(found, "duration_s", 0.0) for found in probed]
    return replace(clips, windows=window_table(lengths_s, project))


def _of_mixtures(project: Config, path: Path, fold: int, n_classes: int) -> Workload:
    """With a fold of mixtures held out that data.yaml describes."""
    mixing = project.mixing
    if fold not in (NO_FOLD, *planned_folds(project, path)):
        raise SedmtlError(f"there is no fold {fold}: data.yaml has {mixing.folds} folds")
    n_held_out = mixing.mixtures_per_fold * (fold != NO_FOLD)
    n_all = mixing.folds * mixing.mixtures_per_fold
    n_left = n_all - n_held_out
    n_validation = round(validation_share(n_all, mixing.folds) * n_left)
    n_train = n_left - n_validation
    sizes = (n_classes, _n_frames(project), project.features.n_mels)
    return Workload(*sizes, n_train, n_validation + n_held_out, frames=_frames(project))


def needed_data(project: Config, names: Iterable[str]) -> list[str]:
    """What has to be made before the named stores can be trained on, as a line if anything."""
    features = [name for name in names if not feature_path(project, name).is_file()]
    mixtures = [
        name
        for name in features
        if name != OWN and not (project.work_dir / "mixtures" / f"{name}.h5").is_file()
    ]
    corpora = [
        CORPORA[each.kind]
        for each in (project.corpus.events, project.corpus.scenes)
        if mixtures
        and isinstance(each, FsdKaggle2018 | Tau2019)
        and not project.locate(each.root).exists()
    ]
    mixing, n_mels = project.mixing, project.features.n_mels
    n_clips = mixing.folds * mixing.mixtures_per_fold
    n_rows = sum(_clips_in_windows(project).n_rows if name == OWN else n_clips for name in features)
    sizes = {
        f"recordings ('sedmtl download {' '.join(each.name for each in corpora)}')": sum(
            each.n_unpacked_bytes for each in corpora
        ),
        "mixtures ('sedmtl mix')": 2 * len(mixtures) * n_clips * mixing.n_samples,
        "features ('sedmtl features')": 4 * n_rows * _n_frames(project) * n_mels,
    }
    steps = [f"{size_text(n_bytes)} of {what}" for what, n_bytes in sizes.items() if n_bytes]
    return [f"not there yet: {', '.join(steps)}"] if steps else []


def _n_frames(project: Config) -> int:
    features = project.features
    return n_frames(project.mixing.n_samples, features.window, features.hop)


def _frames(project: Config) -> FrameInput | None:
    """The frames of the encoder that data.yaml names, if it does; its file is opened."""
    mixing, features = project.mixing, project.features
    encoder = open_front_end(mixing.sample_rate, features, project.encoder_path).encoder
    sizes = (mixing.sample_rate, mixing.n_samples, _n_frames(project))
    logmel = Grid(*sizes, features.window, features.hop)
    return frame_input(None if encoder is None else encoder.card, logmel)


def feature_path(project: Config, data: str) -> Path:
    """Where a feature store is, or will be."""
    return project.work_dir / "features" / f"{data}.h5"


def _n_classes(project: Config) -> int:
    if project.corpus.events is None or project.corpus.events.kind == "synthetic":
        return PAPER_CLASSES  # which would be made to be counted
    try:
        return len({clip.label for clip in load_events(project) if clip.usable})
    except SedmtlError:
        return PAPER_CLASSES
