"""The best and worst clips of a network, and their content on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from sedmtl.config import Config
from sedmtl.data import audio
from sedmtl.data.clips import recording_path
from sedmtl.evaluation.localisation import detected
from sedmtl.evaluation.rows import ScoredRun
from sedmtl.events import Detection, Event
from sedmtl.inference.inspection import Inspection
from sedmtl.inference.task_predictions import TaskPredictions
from sedmtl.metrics.clip import by_class
from sedmtl.report import timeline
from sedmtl.report.figures.view import (
    View,
    choose_classes,
    score_scale,
    short_names,
    spectrum_scale,
)  # fmt: skip
from sedmtl.report.project.predictions import encoded_map, predicted
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import HeldOutScores, Store, check_encoder

N_EACH = 3
MAX_CLASSES = 6
"""Number of classes with frame scores shown per clip: more would not fit a phone's screen."""

N_LIKELIEST = 3

N_CHARACTERS = 13
"""Maximum length of a class name next to its frame scores."""

Stored = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]


class Pick(NamedTuple):
    """A clip to show.

    Attributes:
        run: The run that held it out.
        row: Its row in that run's scores.
        precision: Average precision of the clip's own ranking of the classes.
        cross_entropy: Binary cross-entropy, mean over classes, in nats.
    """

    run: ScoredRun
    row: int
    precision: float
    cross_entropy: float

    @property
    def name(self) -> str:
        """Name of the clip."""
        return self.run.scores.name[self.row]

    @property
    def truth(self) -> Sequence[Event]:
        """The true events."""
        return self.run.scores.events.of_clip(self.row, self.run.scores.classes)

    @property
    def score(self) -> Stored:
        """(C,) clip scores at the epoch chosen by validation."""
        score: Stored = self.run.scores.score["honest"][self.row]
        return score

    def detected(self) -> list[Detection]:
        """The events detected with the run's own post-processing."""
        return detected(self.run.scores, self.row, self.run.card.postprocessing)

    @property
    def window(self) -> int:
        """Index of the window to show of a longer recording: where a true class scores highest.

        0 for a clip that is one row.
        """
        scores = self.run.scores
        if scores.windows is None or scores.window_score is None:
            return 0
        rows, _ = scores.windows.rows_of(np.array([self.row]))
        of_true = scores.window_score[rows][:, scores.target[self.row] == 1]
        return int(of_true.max(axis=1).argmax())

    def part(self, view: View) -> str:
        """The part of a longer recording that is shown, as text; empty if it is shown whole."""
        scores, duration_s = self.run.scores, float(self.run.scores.durations_s[self.row])
        is_longer = scores.windows is not None and duration_s > scores.duration_s
        return f"{view.times} of {duration_s:.1f} s" if is_longer else ""

    def view(self, logmel: Stored | None, tasks: TaskPredictions | None = None) -> View:
        """View of what was scored, with the log-mel and task predictions if available."""
        scores, card = self.run.scores, self.run.card
        blank = np.zeros((card.n_frames, card.n_mels), np.float32)
        row, start_s, duration_s = self.row, 0.0, scores.duration_s
        if scores.windows is not None:
            row = int(scores.windows.rows_of(np.array([row]))[0][self.window])
            start_s = float(scores.windows.start[row] * card.grid.hop_s)
            duration_s = min(duration_s, float(scores.durations_s[self.row]) - start_s)
        inspection = Inspection(
            classes=tuple(scores.classes),
            clip=self.score,
            frame=scores.frame[row].astype(np.float32),
            logmel=blank if logmel is None else logmel,
            frame_edges_s=start_s + scores.frame_edges_s,
            logmel_edges_s=start_s + card.logmel_grid.edges_s,
            mel_hz=card.build_logmel().centres_hz(),
            duration_s=duration_s,
            tasks=tasks or TaskPredictions(),
        )
        return View.of(self.run.name, card, inspection, start_s)


def judge(scores: HeldOutScores) -> tuple[Values, Values]:
    """Rate each held-out clip of a run at the epoch chosen by validation.

    Returns:
        (n,) average precision of the clip's own ranking of the classes, NaN for a clip without
        labels; (n,) binary cross-entropy, mean over classes, in nats.
    """
    target, score = scores.target, scores.score["honest"]
    likelihood = np.where(target == 1, score, 1 - score.astype(np.float64))
    # A score may be 0 or 1 in float32.
    entropy: Values = -np.log(np.clip(likelihood, 1e-7, 1)).mean(axis=1)
    return by_class(target.T, score.T).ap, entropy


def choose(runs: Sequence[ScoredRun]) -> tuple[list[Pick], list[Pick]]:
    """Choose the best clips, best first, and the worst, worst first; no clip is in both.

    They are ranked by average precision; ties, of which there are many at 1, by cross-entropy.
    """
    picks = [
        Pick(run, row, float(precision), float(entropy))
        for run in runs
        for row, (precision, entropy) in enumerate(zip(*judge(run.scores), strict=True))
        if not np.isnan(precision)
    ]
    picks.sort(key=lambda pick: (-pick.precision, pick.cross_entropy))
    n_best = min(N_EACH, (len(picks) + 1) // 2)
    return picks[:n_best], picks[n_best:][::-1][:N_EACH]


def read_stored(path: Path, array: str, picks: Sequence[Pick]) -> list[Stored]:
    """Read an array for clips of one network.

    Args:
        path: The feature or mixture store.
        array: `waveform`, or a network input.
        picks: The clips.

    Raises:
        SedmtlError: The store is missing, or is not the one that was scored.
    """
    card = picks[0].run.card
    with Store(path, array) as store:
        if array == "frames":
            check_encoder(store, card.encoder)
        shapes = {"waveform": (card.n_samples,), "logmel": (card.n_frames, card.n_mels)}
        shape = shapes.get(array, store.row_shape)
        row_of = {name: row for row, name in enumerate(store.clips.name)}
        clips = np.array([row_of.get(pick.name, -1) for pick in picks], np.int64)
        if store.row_shape != shape or not all(map(partial(_is_of, store), clips, picks)):
            raise SedmtlError(f"{path} has been rebuilt with other clips")
        found, which = store.clips.rows_of(clips)
        rows = np.searchsorted(which, np.arange(len(picks)))  # the first of each
        rows = found[rows + [pick.window for pick in picks]]
        if array == "waveform":
            return list(store.read_audio(rows))
        return list(store.read(rows).astype(np.float32))


def standardise(picks: Sequence[Pick], logmels: Sequence[Stored]) -> list[Stored]:
    """Standardise log-mels as in the run of each clip."""
    return [
        pick.run.card.build_standardiser()(torch.from_numpy(logmel)).numpy()
        for pick, logmel in zip(picks, logmels, strict=True)
    ]


def read_recording(config: Config, pick: Pick) -> Stored:
    """Read the shown part of a custom recording from its file.

    Raises:
        SedmtlError: `corpus.clips` has no such file, or it cannot be read.
    """
    path, card = recording_path(config, pick.name), pick.run.card
    start_s = pick.view(None).start_s
    return audio.read(path, card.sample_rate, start_s=start_s, duration_s=card.duration_s)


def _is_of(store: Store, row: int, pick: Pick) -> bool:
    """Whether a row of a store (-1 if there is none) is the clip that was scored."""
    scores, clips = pick.run.scores, store.clips
    return (
        row >= 0
        and list(store.classes) == list(scores.classes)
        and np.array_equal(clips.target[row], scores.target[pick.row])
        and clips.events.of_clip(row, store.classes) == pick.truth
    )


def picture(
    pick: Pick, logmel: Stored | None, tasks: TaskPredictions | None = None
) -> dict[str, Any]:
    """Content of the page for a clip, except its audio; the log-mel (T, F) is standardised."""
    view = pick.view(logmel, tasks)
    truth, found = view.within(pick.truth), view.within(pick.detected())
    shown = choose_classes([view], truth, MAX_CLASSES)
    short = short_names(shown, N_CHARACTERS)
    of_shown = [event for event in found if event.label in shown]
    true_first = sorted(shown, key=lambda name: all(event.label != name for event in truth))
    scale = spectrum_scale([view])
    spectrum = None if logmel is None else encoded_map(logmel.T[::-1], scale, "magma")
    return {
        "pick": pick,
        "part": pick.part(view),
        "spectrum": spectrum,
        "spans": timeline.spans(view, truth),
        "truth": timeline.lanes(view, truth) if truth else [],
        "detected": timeline.lanes(view, of_shown),
        "n_not_shown": len(found) - len(of_shown),
        "strips": [{"short": short[name], **_strip(view, name, truth, found)} for name in shown],
        "classes": _classes(pick),
        "predicted": predicted(view, true_first),
        **timeline.axes(view),
    }


def _strip(
    view: View, name: str, truth: Sequence[Event], found: Sequence[Detection]
) -> Mapping[str, Any]:
    """Content of the page for the frame scores of a class."""
    (row,), clip = view.rows([name]), view.inspection
    frame = clip.frame[row]
    at_s = float(clip.frame_edges_s[int(frame.argmax())])
    return {
        "name": name,
        "picture": encoded_map(clip.at_logmel_frames(frame)[None], score_scale([view]), "viridis"),
        "text": f"Frame scores of {name}, {frame.min():.2f} to {frame.max():.2f}, "
        f"the highest at {at_s:.1f} s",
        "is_true": any(event.label == name for event in truth),
        "spans": timeline.spans(view, truth, name),
        "found": timeline.spans(view, found, name),
    }


def _classes(pick: Pick) -> list[dict[str, Any]]:
    """The true and the highest-scoring classes, by clip score."""
    target, is_tagged = pick.run.scores.target[pick.row], pick.run.card.tagged(pick.score)
    order = np.argsort(-pick.score, kind="stable")
    return [
        {
            "name": pick.run.scores.classes[i],
            "rank": rank,
            "score": float(pick.score[i]),
            "is_true": bool(target[i]),
            "is_tagged": bool(is_tagged[i]),
        }
        for rank, i in enumerate(order, start=1)
        if target[i] or rank <= N_LIKELIEST
    ]
