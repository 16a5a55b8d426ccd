"""The best and worst clips of a network, and what the page shows of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from sedmtl.data.audio import Audio
from sedmtl.evaluation.rows import ScoredRun
from sedmtl.events import Detection, Event
from sedmtl.inference.checkpoint import ModelCard
from sedmtl.inference.inspection import Inspection
from sedmtl.inference.postprocess import gate, segment
from sedmtl.metrics.clip import average_precision
from sedmtl.report import figures as plots
from sedmtl.report import timeline
from sedmtl.report.figures.view import (
    Scale,
    View,
    choose_classes,
    score_scale,
    short_names,
    spectrum_scale,
)
from sedmtl.report.html import data_uri
from sedmtl.report.project import png
from sedmtl.report.project.networks import Network
from sedmtl.store import HeldOutScores

N_EACH = 3
MAX_CLASSES = 6
"""Number of classes with frame scores shown per clip: more would not fit a phone's screen."""

N_LIKELIEST = 3

N_CHARACTERS = 13
"""Maximum length of a class name next to its frame scores."""

Values = npt.NDArray[np.float64]


class Judged(NamedTuple):
    """Quality of the scores of each clip: (n,) each.

    Attributes:
        precision: Average precision of the clip's own ranking of the classes; NaN for a clip
            without labels.
        cross_entropy: Binary, mean over classes, in nats.
    """

    precision: Values
    cross_entropy: Values


class Pick(NamedTuple):
    """A clip to show: the run that held it out, its row in that run's scores, its quality."""

    run: int
    row: int
    precision: float
    cross_entropy: float


@dataclass(frozen=True)
class Recording:
    """The data of a clip in the stores.

    Attributes:
        logmel: (T, F) standardised, or None.
        waveform: (N,) or None.
        missing: One sentence for each of them that is None.
    """

    logmel: npt.NDArray[np.float32] | None
    waveform: Audio | None
    missing: Sequence[str] = ()


def judge(scores: HeldOutScores) -> Judged:
    """Rate each held-out clip of a run, at the epoch chosen by validation."""
    target, score = scores.target, scores.score["honest"]
    likelihood = np.where(target == 1, score, 1 - score.astype(np.float64))
    # A score may be 0 or 1 in float32.
    entropy: Values = -np.log(np.clip(likelihood, 1e-7, 1)).mean(axis=1)
    return Judged(average_precision(target.T, score.T), entropy)


def choose(runs: Sequence[ScoredRun]) -> tuple[list[Pick], list[Pick]]:
    """The best clips, best first, and the worst, worst first; no clip is in both.

    They are ranked by average precision, and ties, which are many at 1, by cross-entropy.
    """
    picks = [
        Pick(number, row, float(precision), float(entropy))
        for number, run in enumerate(runs)
        for row, (precision, entropy) in enumerate(zip(*judge(run.scores), strict=True))
        if not np.isnan(precision)
    ]
    picks.sort(key=lambda pick: (-pick.precision, pick.cross_entropy))
    n_best = min(N_EACH, (len(picks) + 1) // 2)
    return picks[:n_best], picks[n_best:][::-1][:N_EACH]


def picture(network: Network, pick: Pick, recording: Recording) -> dict[str, Any]:
    """What the page shows of a clip, except its audio."""
    run = network.runs[pick.run]
    card = run.card
    view = _view(run, pick.row, recording.logmel)
    truth, detected = (
        run.scores.events.of_clip(pick.row, run.scores.classes),
        _detected(run.scores, card, pick.row),
    )
    shown = choose_classes([view], truth, MAX_CLASSES)
    short = short_names(shown, N_CHARACTERS)
    of_shown = [event for event in detected if event.label in shown]
    spectrum = None
    if recording.logmel is not None:
        spectrum = _map(recording.logmel.T[::-1], spectrum_scale([view]), "magma")
    return {
        "name": run.scores.name[pick.row],
        "fold": run.fold,
        "precision": pick.precision,
        "cross_entropy": pick.cross_entropy,
        "spectrum": spectrum,
        "spans": timeline.spans(view, truth),
        "truth": timeline.lanes(view, truth) if truth else [],
        "detected": timeline.lanes(view, of_shown),
        "n_not_shown": len(detected) - len(of_shown),
        "strips": [{"short": short[name], **_strip(view, name, truth, detected)} for name in shown],
        "ticks": timeline.time_ticks(view),
        "mel_ticks": timeline.frequency_ticks(view),
        "map_style": _map_style(view),
        "classes": _classes(run.scores, card, pick.row),
        "missing": recording.missing,
    }


def _view(run: ScoredRun, row: int, logmel: npt.NDArray[np.float32] | None) -> View:
    scores, card = run.scores, run.card
    blank = np.zeros((card.n_frames, card.n_mels), np.float32)
    inspection = Inspection(
        classes=tuple(scores.classes),
        clip=scores.score["honest"][row],
        frame=scores.frame[row].astype(np.float32),
        mel_attention=None,
        time_attention=None,
        logmel=blank if logmel is None else logmel,
        reconstruction=None,
        frame_edges_s=scores.frame_edges_s,
        logmel_edges_s=card.logmel_edges_s,
        mel_hz=card.build_logmel().centres_hz(),
        duration_s=scores.duration_s,
    )
    return View(run.name, inspection, 0.0, scores.duration_s, card.network.frame_meaning)


def _detected(scores: HeldOutScores, card: ModelCard, row: int) -> list[Detection]:
    """The events detected with the run's own post-processing."""
    settings = card.postprocessing
    frame = gate(scores.frame[row], scores.score["honest"][row], settings)
    found = segment(frame, settings, card.hop_s, float(scores.frame_edges_s[0]))
    return [Detection(scores.classes[label], *times) for label, *times in found]


def _map(values: npt.NDArray[np.float32], scale: Scale, cmap: str) -> Markup:
    level = np.clip((values - scale.low) / (scale.high - scale.low), 0, 1)
    levels = np.round(255 * level).astype(np.uint8)
    return data_uri(png.encode(levels, plots.colours(cmap)), "image/png")


def _strip(
    view: View, name: str, truth: Sequence[Event], detected: Sequence[Detection]
) -> dict[str, Any]:
    """The frame scores of a class."""
    (row,), clip = view.rows([name]), view.inspection
    frame = clip.frame[row]
    at_s = float(clip.frame_edges_s[int(frame.argmax())])
    return {
        "name": name,
        "picture": _map(clip.at_logmel_frames(frame)[None], score_scale([view]), "viridis"),
        "text": f"Frame scores of {name}, {frame.min():.2f} to {frame.max():.2f}, "
        f"the highest at {at_s:.1f} s",
        "is_true": any(event.label == name for event in truth),
        "spans": timeline.spans(view, [event for event in truth if event.label == name]),
        "found": timeline.spans(view, [event for event in detected if event.label == name]),
    }


def _map_style(view: View) -> str:
    """Position of the frames on the axis of the clip."""
    begin_s, end_s = view.inspection.logmel_edges_s[[0, -1]]
    left, right = timeline.share(view, begin_s), timeline.share(view, end_s)
    return f"left:{left:.4f}%;width:{right - left:.4f}%"


def _classes(scores: HeldOutScores, card: ModelCard, row: int) -> list[dict[str, Any]]:
    """The true classes and the likeliest, by clip score."""
    score, target = scores.score["honest"][row], scores.target[row]
    order = np.argsort(-score, kind="stable")
    return [
        {
            "name": scores.classes[i],
            "rank": rank,
            "score": float(score[i]),
            "is_true": bool(target[i]),
            "is_tagged": bool(score[i] > card.tag_threshold[i]),
        }
        for rank, i in enumerate(order, start=1)
        if target[i] or rank <= N_LIKELIEST
    ]
