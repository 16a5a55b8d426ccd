"""What frozen encoders are worth: networks on their frames, with few labelled clips per class.

The recordings are a project's mixtures with one event each, as in `bench.review`, or their event
clips alone. The project's sample rate must be at least that of the encoders. Networks are trained
on some number of clips per class, or all, and scored on a held-out fold. Every result is a line in
the file of runs; existing ones are not measured again.

    python -m bench.encoders --config data.yaml --runs FILE --encoder 'NAME={tflite: FILE, ...}'
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import yaml

import sedmtl
from bench.machine import commit, describe
from bench.review import Recordings, label_some, write_project, write_recordings
from bench.study import metrics_of, slug
from sedmtl.config import Config, load_config
from sedmtl.data.corpora import load_events
from sedmtl.data.reservation import reserve, validation_share
from sedmtl.store import ClipTable, EventTable, RowArray, Rows, Store, StoreWriter

SCRATCH = "from scratch"
"""Encoder name of networks without one."""

PLAIN = {"epochs": 40, "batch_size": 16, "alpha": 0.0, "schedule": "cosine"}
NETWORKS: dict[str, dict[str, Any]] = {
    "pooled": {"model": "pooled"},
    "pooled, longer": {"model": "pooled", "epochs": 80, "batch_size": 8},
    "probe": {"model": "probe"},
    "probe, mean": {"model": "probe", "time_pooling": "mean"},
    "probe, max": {"model": "probe", "time_pooling": "max"},
    "probe, local": {"model": "probe", "time_pooling": "local"},
    "probe, local, longer": {"model": "probe", "time_pooling": "local", "epochs": 160},
    "gru": {"model": "gru"},
    "gru, local": {"model": "gru", "time_pooling": "local"},
    "pooled, joined": {"model": "pooled", "join_frames": True},
    "crnn, joined": {"model": "crnn", "join_frames": True},
}
"""Arguments of `sedmtl.train` in addition to `PLAIN`, by row."""

FROM_SCRATCH = ("pooled", "pooled, longer")
"""Networks that take no encoder."""


class Options(NamedTuple):
    """Variations other than the network.

    Attributes:
        train: Further arguments of `sedmtl.train`.
        n_classes: Detect only the first `n_classes` classes; clips of the others have no label. By
            default all.
        learns_others: Whether to train on as many clips of each other class as well.
    """

    train: Mapping[str, bool] = {}
    n_classes: int | None = None
    learns_others: bool = False


OPTIONS = {
    "": Options(),
    "balanced": Options({"balanced": True}),
    "class weights": Options({"class_weights": True}),
    "5 classes": Options(n_classes=5),
    "5 classes, other sounds": Options(n_classes=5, learns_others=True),
}
COUNTS = ("5", "10", "20", "40", "all", "5 to 40")
"""Training clips per class; `5 to 40` increases from 5 for the first class to 40 for the last."""

RECORDINGS = ("mixtures", "event clips")

METRICS = {"micro_p": "micro-P", "frame_ap_micro": "frame AP", "psds1": "PSDS1", "psds2": "PSDS2"}

KEY = ("recordings", "encoder", "network", "options", "n", "fold", "seed")
Run = dict[str, Any]


def cut_event_clips(config_path: Path, folder: Path, mixed: Recordings) -> Recordings:
    """Write the event clips of mixtures as files of at most the same length; times are unknown."""
    folder.mkdir(parents=True, exist_ok=True)
    mixture_of = {source: mixture for mixture, source in mixed.source.items()}
    for clip in load_events(load_config(config_path)):
        if clip.name in mixture_of and not (folder / clip.name).is_file():
            rate = soundfile.info(clip.path).samplerate
            waveform, _ = soundfile.read(clip.path, round(mixed.duration_s * rate))
            soundfile.write(folder / clip.name, waveform, rate)
    return Recordings(
        folder,
        mixed.duration_s,
        {source: mixed.label[mixture] for source, mixture in mixture_of.items()},
        {},
        {source: mixed.fold[mixture] for source, mixture in mixture_of.items()},
        {source: source for source in mixture_of},
    )


def chosen_rows(
    every: Recordings, names: Sequence[str], n: str, options: Options, fold: int, seed: int
) -> Rows:
    """The training clips, as rows in the store of all recordings."""
    rng = np.random.default_rng([fold, seed])
    n_classes = len(every.classes)
    wanted = [len(names) if n == "all" else int(n.split()[0])] * n_classes
    if " to " in n:
        fewest, most = (int(word) for word in n.split(" to "))
        wanted = np.geomspace(fewest, most, n_classes).round().astype(int).tolist()
    if options.n_classes and not options.learns_others:
        wanted[options.n_classes :] = [0] * (n_classes - options.n_classes)
    clean, _ = label_some(every, fold, max(wanted), 0.0, rng)
    left = dict(zip(every.classes, wanted, strict=True))
    rows = []
    for name, (label,) in clean.items():  # different event clips come first in each class
        left[label] -= 1
        rows += [names.index(name)] if left[label] >= 0 else []
    return np.array(rows)


def write_subset(
    path: Path, store: Store, every: Recordings, rows: Rows, fold: int, n_classes: int | None
) -> None:
    """Write a feature store of some clips and the held-out fold; only the latter has events."""
    held_out = np.flatnonzero(store.clips.fold == fold)
    taken = np.concatenate([rows, held_out])
    clips = _some(store.clips, taken, len(rows), len(store.classes[:n_classes]))
    sources = [every.source[name] for name in clips.name]
    share = validation_share(len(taken), len(np.unique(clips.fold)))
    rng = np.random.default_rng(0)
    validation = reserve(clips.target, sources, clips.fold, share, rng).astype(np.uint8)
    made_here = ("schema", "sedmtl_version", "config_hash", "checksum")
    notes = {key: store.attributes[key] for key in ("config", "encoder_file")
             if key in store.attributes}  # fmt: skip
    deciding = {k: v for k, v in store.attributes.items() if k not in (*made_here, *notes)}
    deciding["classes"] = store.classes[:n_classes]
    arrays = {name: store.read(taken, name) for name in store.arrays}
    shapes = {name: RowArray(each.shape[1:], each.dtype) for name, each in arrays.items()}
    table = replace(clips, validation=validation)
    with StoreWriter(path, shapes, table, deciding, notes) as writer:
        writer.write(0, **arrays)
        writer.finish()


def _some(clips: ClipTable, rows: Rows, n_weak: int, n_classes: int) -> ClipTable:
    """Select clips and the first classes; the first `n_weak` clips have no events."""
    events = clips.events.of_clips(rows)
    known = np.flatnonzero((events.mixture >= n_weak) & (events.label < n_classes))
    columns = {name: getattr(events, name)[known]
               for name in ("mixture", "label", "onset_s", "offset_s", "snr_db")}  # fmt: skip
    return ClipTable(
        name=[clips.name[row] for row in rows],
        target=clips.target[rows, :n_classes],
        fold=clips.fold[rows],
        validation=np.zeros(len(rows), np.uint8),
        scene=[clips.scene[row] for row in rows],
        events=EventTable(**columns, source=[events.source[i] for i in known]),
    )


@dataclass(frozen=True)
class Source:
    """The features of all recordings with one encoder.

    Attributes:
        path: The data.yaml of the project with this feature store.
        cpu_min: CPU minutes for the frames and the log-mel.
    """

    path: Path
    cpu_min: float


def make_source(
    folder: Path, every: Recordings, project: Config, encoder: Mapping[str, Any] | None
) -> Source:
    """Make the features of all recordings, once."""
    mixing = {"duration_s": every.duration_s, "sample_rate": project.mixing.sample_rate}
    front_end = {**project.features.logmel, **({"encoder": dict(encoder)} if encoder else {})}
    sections: dict[str, Any] = {"mixing": mixing, "features": front_end}
    truth = {name: [label] for name, label in every.label.items()}
    spent = os.times().user
    path = write_project(folder, every, truth, list(every.times), **sections)
    noted = folder / "cpu_min"
    if not noted.is_file():
        noted.write_text(str((os.times().user - spent) / 60))
    return Source(path, float(noted.read_text()))


class Experiment:
    """Measures runs that are not in the file of runs yet."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.project = load_config(asked.config)
        self.folder = self.project.work_dir / "encoders"
        self.every = write_recordings(asked.config, self.folder / "recordings")
        if asked.recordings == "event clips":
            self.folder = self.project.work_dir / "encoders_event_clips"
            self.every = cut_event_clips(asked.config, self.folder / "recordings", self.every)
        lines = asked.runs.read_text().splitlines() if asked.runs.is_file() else []
        self.known = {tuple(run[key] for key in KEY) for run in map(json.loads, lines)}

    def run(self, encoder: str, section: Mapping[str, Any] | None) -> None:
        """Measure all networks with one encoder, or those without."""
        asked = self.asked
        networks = [n for n in asked.network if (n in FROM_SCRATCH) == (section is None)]
        every_key = product(
            [asked.recordings], [encoder], networks, asked.options, asked.n, asked.fold, asked.seed
        )
        keys = [key for key in every_key if key not in self.known]
        if not keys:
            return
        folder = self.folder / encoder.replace(" ", "_")
        source = make_source(folder, self.every, self.project, section)
        for key in keys:
            run: Run = dict(zip(KEY, key, strict=True))
            run |= self._measure(source, run)
            with asked.runs.open("a") as file:
                file.write(json.dumps(run) + "\n")
            print(run, flush=True)

    def _measure(self, source: Source, run: Run) -> Run:
        config, fold, seed = load_config(source.path), run["fold"], run["seed"]
        options = OPTIONS[run["options"]]
        clips = f"{run['n']} {run['options'] if options.n_classes else ''}".strip()
        here = source.path.parent / f"{clips.replace(' ', '_')}_fold{fold}_seed{seed}"
        subset = here / "work" / "features" / "clips.h5"
        with Store(config.work_dir / "features" / "clips.h5", "logmel") as store:
            names = list(store.clips.name)
            rows = chosen_rows(self.every, names, run["n"], options, fold, seed)
            write_subset(subset, store, self.every, rows, fold, options.n_classes)
        project = config.model_copy(update={"workdir": (here / "work").absolute()})
        spent = os.times().user
        arguments = {**PLAIN, **NETWORKS[run["network"]], **options.train}
        name = slug(f"{run['network']} {run['options']}".strip())
        trained = sedmtl.train(
            project, fold=fold, seed=seed, name=name, resume=True, gpus=0, **arguments
        )
        cpu_min = (os.times().user - spent) / 60
        found = metrics_of(trained.path, subset)
        return {
            **{name: _known(found[name]) for name in METRICS},
            "n_train": len(rows),
            "cpu_min": round(cpu_min, 3),
            "features_cpu_min": round(source.cpu_min, 2),
            "cpu": describe()["cpu"],
            "commit": commit(),
        }


def _known(value: float) -> float | None:
    """Rounded, with None for NaN, which JSON does not have."""
    return None if np.isnan(value) else round(value, 4)


def tables(runs: Sequence[Run]) -> str:
    """A table per number of clips: means over folds and seeds, ± standard deviation over seeds."""
    parts = []
    order = list(product(RECORDINGS, COUNTS))
    for recordings, n in sorted({(run["recordings"], run["n"]) for run in runs}, key=order.index):
        of_n = [run for run in runs if (run["recordings"], run["n"]) == (recordings, n)]
        titles = [*KEY[1:4], "runs", *METRICS.values(), "clips", "CPU minutes"]
        parts += ["", f"**{recordings}, {n} of each class:**", ""]
        parts += [f"| {' | '.join(titles)} |", f"|---|---|---|{'---:|' * (len(titles) - 3)}"]
        for row in dict.fromkeys(tuple(run[key] for key in KEY[1:4]) for run in of_n):
            some = [run for run in of_n if tuple(run[key] for key in KEY[1:4]) == row]
            cells = [str(len(some)), *(_cell(some, name) for name in METRICS)]
            means = [np.mean([run[name] for run in some]) for name in ("n_train", "cpu_min")]
            cells += [f"{means[0]:.0f}", f"{means[1]:.2f}"]
            parts.append(f"| {' | '.join([*row, *cells])} |")
    return "\n".join(parts[1:])


def _cell(runs: Sequence[Run], metric: str) -> str:
    values: npt.NDArray[np.float64] = np.array([run[metric] for run in runs], np.float64)
    seeds = [run["seed"] for run in runs]
    of_seed = [values[np.equal(seeds, seed)].mean() for seed in sorted(set(seeds))]
    spread = f" ± {np.std(of_seed, ddof=1):.3f}" if len(of_seed) > 1 else ""
    return f"{values.mean():.3f}{spread}"


def main() -> None:
    """Measure what is missing, then print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.encoders", description=__doc__)
    add = parser.add_argument
    add("--config", type=Path, default=Path("data.yaml"))
    add("--runs", type=Path, metavar="FILE", required=True)
    add("--encoder", action="append", default=[], metavar="NAME=YAML",
        help="value of features.encoder, with absolute paths; networks without an encoder are "
        "always measured")  # fmt: skip
    add("--recordings", choices=RECORDINGS, default=RECORDINGS[0])
    add("--network", action="append", choices=list(NETWORKS), metavar="NAME")
    add("--options", action="append", choices=list(OPTIONS), metavar="NAME")
    add("--n", action="append", choices=COUNTS, help="clips per class")
    add("--fold", type=int, action="append")
    add("--seed", type=int, action="append")
    add("--table", action="store_true", help="only print the tables")
    asked = parser.parse_args()
    asked.network, asked.n = asked.network or list(NETWORKS), asked.n or list(COUNTS)
    asked.options = asked.options or [""]
    asked.fold, asked.seed = asked.fold or [1, 2, 3, 4], asked.seed or [0]
    if not asked.table:
        experiment = Experiment(asked)
        experiment.run(SCRATCH, None)
        for name, _, text in (word.partition("=") for word in asked.encoder):
            experiment.run(name, yaml.safe_load(text))
    print(tables([json.loads(line) for line in asked.runs.read_text().splitlines()]))


if __name__ == "__main__":
    main()
