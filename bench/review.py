"""What verdicts are worth: wrong weak labels, corrected by a simulated listener.

The recordings are a project's mixtures with one event each. A few per class are labelled, some of
them wrongly. Networks trained on two folds of them score the third; `choose` ranks pairs of
recording and class by these scores, the listener answers truthfully, `correct` changes the labels,
and a network trained on the result is scored on a fold that was not reviewed. The reference is
`new`, which draws at random.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

import sedmtl
from bench.machine import commit, describe
from sedmtl.config import load_config
from sedmtl.evaluation.aggregate import tabulate
from sedmtl.evaluation.evaluate import score_runs
from sedmtl.features.extraction import features
from sedmtl.review.choice import By, choose
from sedmtl.review.labels import correct
from sedmtl.review.pool import find_scored, held_out
from sedmtl.review.verdicts import Answer, Review, Snippet
from sedmtl.runtime import progress
from sedmtl.store import Store, data_name

BY: tuple[By, ...] = ("suspicious", "uncertain", "new")
N_VERDICTS = (25, 50, 100, 200)
METRICS = {"micro_p": "micro-P", "frame_ap_micro": "frame AP", "collar_f1_macro": "collar F1",
           "intersection_f1_macro": "intersection F1"}  # fmt: skip

Labels = Mapping[str, Sequence[str]]
Table = Sequence[Sequence[object]]


@dataclass(frozen=True)
class Recordings:
    """The recordings with their ground truth, by name.

    Attributes:
        folder: Folder of the files.
        duration_s: Length of each recording.
        label: True class.
        times: Onset and offset of the event, in seconds.
        fold: Fold, from 1.
        source: Event clip in the recording.
    """

    folder: Path
    duration_s: float
    label: Mapping[str, str]
    times: Mapping[str, tuple[float, float]]
    fold: Mapping[str, int]
    source: Mapping[str, str]

    @property
    def classes(self) -> list[str]:
        """Sorted classes of all recordings."""
        return sorted(set(self.label.values()))


def write_recordings(config_path: Path, folder: Path) -> Recordings:
    """Write the mixtures at the project's first SNR as files; returns them with their truths."""
    project = load_config(config_path)
    folder.mkdir(parents=True, exist_ok=True)
    name = data_name(project.mixing.snrs_db[0])
    with Store(project.work_dir / "mixtures" / f"{name}.h5", "waveform") as store:
        clips, events = store.clips, store.clips.events
        if len(events) != len(store):
            raise SystemExit("expected mixing.events_per_mixture: 1 in data.yaml")
        for row, clip in enumerate(clips.name):
            if not (folder / clip).is_file():
                waveform = store.read(range(row, row + 1))[0].ravel()
                soundfile.write(folder / clip, waveform, project.mixing.sample_rate)
        times = zip(events.onset_s.tolist(), events.offset_s.tolist(), strict=True)
        return Recordings(
            folder,
            project.mixing.duration_s,
            {n: store.classes[int(k)] for n, k in zip(clips.name, events.label, strict=True)},
            dict(zip(clips.name, times, strict=True)),
            dict(zip(clips.name, clips.fold.tolist(), strict=True)),
            dict(zip(clips.name, events.source, strict=True)),
        )


def write_project(
    folder: Path, every: Recordings, labels: Labels, known: Collection[str], **sections: Any
) -> Path:
    """Write a project of labelled recordings, with strong labels of `known`, and its features.

    `sections` are further sections of its data.yaml.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [[name, ";".join(each), every.fold[name], every.source[name]]
            for name, each in labels.items()]  # fmt: skip
    table: Table = [["filename", "labels", "fold", "recording"], *rows]
    (folder / "clips.csv").write_text(_text(table, ","))
    clips = {"csv": "clips.csv", "root": str(every.folder.resolve())}
    if known:
        events = [[name, *every.times[name], every.label[name]] for name in known]
        strong: Table = [["filename", "onset", "offset", "event_label"], *events]
        (folder / "strong.tsv").write_text(_text(strong, "\t"))
        clips["strong"] = "strong.tsv"
    path = folder / "data.yaml"
    settings = {"corpus": {"clips": clips}, "mixing": {"duration_s": every.duration_s}, **sections}
    path.write_text(yaml.safe_dump(settings))
    with progress.silence():
        features(load_config(path), [], 1)
    return path


def score(
    folder: Path, every: Recordings, labels: Labels, fold: int, train: Mapping[str, Any]
) -> dict[str, float]:
    """Metrics on the held-out fold of a network trained on `labels`."""
    known = [name for name in every.label if every.fold[name] == fold]
    truth = {name: [every.label[name]] for name in known}
    path = write_project(folder, every, {**labels, **truth}, known)
    run = sedmtl.train(path, fold=fold, resume=True, **train)
    row = tabulate(score_runs(run.path.parent, [run.path.name]))[0]
    return {metric: round(row.metrics[metric].mean, 4) for metric in METRICS}


def label_some(
    every: Recordings, fold: int, n: int, share: float, rng: np.random.Generator
) -> tuple[Labels, Labels]:
    """Labels of n recordings per class outside a fold: the true ones, and with some wrong."""
    clean: dict[str, list[str]] = {}
    for label in every.classes:
        others = [n for n, of in every.label.items() if of == label and every.fold[n] != fold]
        shuffled = [str(name) for name in rng.permutation(others)]
        first = {every.source[name]: name for name in reversed(shuffled)}  # one per event clip
        chosen = [name for name in shuffled if name in first.values()]
        spare = [name for name in shuffled if name not in chosen]
        clean |= {name: [label] for name in [*chosen, *spare][:n]}
    wrong = rng.choice(sorted(clean), round(share * len(clean)), replace=False)
    given = {
        str(name): [str(rng.choice([c for c in every.classes if c != every.label[name]]))]
        for name in wrong
    }
    return clean, {**clean, **given}


def answer(every: Recordings, labels: Labels, snippet: Snippet) -> Review:
    """The answer of a listener who is always right.

    For a wrong label, it names the true class; for an absent class that is not labelled, it only
    denies it.
    """
    true = every.label[snippet.filename]
    verdict: Answer = "yes" if snippet.label == true else "no"
    if verdict == "no" and snippet.label in labels[snippet.filename]:
        verdict = "other"
    heard = "" if verdict == "no" else true
    return Review(snippet, verdict, heard, None, None, "simulated", "2000-01-01T00:00:00.000Z")


class Experiment:
    """Runs the study for folds and seeds; every result is a line in the file of runs."""

    def __init__(self, every: Recordings, folder: Path, asked: argparse.Namespace) -> None:
        self.every, self.folder, self.asked = every, folder, asked
        lines = asked.runs.read_text().splitlines() if asked.runs.is_file() else []
        self.known = {self._key(run): run for run in map(json.loads, lines)}
        self.clean: Labels = {}

    @staticmethod
    def _key(run: Mapping[str, Any]) -> tuple[Any, ...]:
        return run["fold"], run["seed"], run["by"], run["n"]

    def run(self, fold: int, seed: int) -> None:
        """Measure what is not in the file of runs yet."""
        rng = np.random.default_rng([fold, seed])
        clean, labels = label_some(self.every, fold, self.asked.per_class, self.asked.wrong, rng)
        self.clean, here = clean, self.folder / f"fold{fold}_seed{seed}"
        train = {"seed": seed, **self.asked.train}
        self._measure(here, "all correct", 0, clean, fold, train)
        self._measure(here, "none", 0, labels, fold, train)
        path = write_project(here / "inner", self.every, labels, ())
        for inner in sorted({self.every.fold[name] for name in labels}):
            sedmtl.train(path, fold=inner, resume=True, **train)
        pool = held_out(find_scored(path.parent / "work" / "runs", []))
        for by in BY:
            order = choose(pool, by, max(N_VERDICTS), np.random.default_rng(seed))
            reviews = [answer(self.every, labels, pool.snippets[i]) for i in order]
            for n in N_VERDICTS:
                corrected = correct(labels, reviews[:n]).labels
                self._measure(here, by, n, corrected, fold, train)

    def _measure(
        self, here: Path, by: str, n: int, labels: Labels, fold: int, train: Mapping[str, Any]
    ) -> None:
        run: dict[str, Any] = {"fold": fold, "seed": train["seed"], "by": by, "n": n}
        if self._key(run) in self.known:
            return
        cpu_s = os.times().user
        run["n_wrong"] = sum(list(labels[name]) != [self.every.label[name]] for name in labels)
        done = self.known.get((fold, train["seed"], "all correct", 0))
        if done and labels == self.clean:  # the same run
            run |= {name: done[name] for name in METRICS}
        else:
            run |= score(here / f"{by}{n}".replace(" ", "_"), self.every, labels, fold, train)
        run |= {"cpu_min": round((os.times().user - cpu_s) / 60, 2)}
        run |= {"cpu": describe()["cpu"], "commit": commit()}
        with self.asked.runs.open("a") as file:
            file.write(json.dumps(run) + "\n")
        self.known[self._key(run)] = run
        print(run, flush=True)


def table(path: Path) -> str:
    """Means over folds and seeds."""
    runs = [json.loads(line) for line in path.read_text().splitlines()]
    titles = ["chosen by", "verdicts", "runs", "wrong labels left", *METRICS.values()]
    lines = [f"| {' | '.join(titles)} |", f"|---{'|---:' * (len(titles) - 1)}|"]
    for by, n in dict.fromkeys((run["by"], run["n"]) for run in runs):
        some = [run for run in runs if (run["by"], run["n"]) == (by, n)]
        means = [np.mean([run[key] for run in some]) for key in ("n_wrong", *METRICS)]
        cells = [f"{means[0]:.1f}", *(f"{mean:.3f}" for mean in means[1:])]
        lines.append(f"| {' | '.join([by, str(n), str(len(some)), *cells])} |")
    return "\n".join(lines)


def _text(rows: Table, delimiter: str) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue()


def main() -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("data.yaml"))
    parser.add_argument("--runs", type=Path, metavar="FILE", required=True)
    parser.add_argument("--fold", type=int, action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--per-class", type=int, default=10, help="labelled recordings per class")
    parser.add_argument("--wrong", type=float, default=0.2, help="share of wrong labels")
    parser.add_argument("--train", type=yaml.safe_load, metavar="YAML",
        default={"recipe": "strong", "width": 8, "epochs": 60, "batch_size": 8})  # fmt: skip
    asked = parser.parse_args()
    folder = load_config(asked.config).work_dir / "review"
    every = write_recordings(asked.config, folder / "recordings")
    experiment = Experiment(every, folder, asked)
    for seed, fold in product(asked.seed or [0], asked.fold or [1, 2, 3, 4]):
        experiment.run(fold, seed)
    print(table(asked.runs))


if __name__ == "__main__":
    main()
