"""Collects the snippets that could be reviewed: from held-out scores of runs, or events in files.

For labelled recordings, the question is whether the whole recording has a class, with scores of
runs that were not trained on it. For recordings longer than `MAX_WHOLE_S` and for unlabelled files,
it is about proposed events: those above half of their thresholds, so that snippets on both sides of
a threshold can be heard.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sedmtl.evaluation.localisation import detected
from sedmtl.events import Detection
from sedmtl.inference.checkpoint import load_card
from sedmtl.inference.identity import network_name
from sedmtl.inference.model_card import ModelCard
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.inference.prediction import Prediction
from sedmtl.inference.runs import find_run, finished_runs, read_run
from sedmtl.review.choice import Pool, bands, logit
from sedmtl.review.verdicts import Snippet
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import HeldOutScores, read_scores

SHARE = 0.5
"""Share of a threshold above which events are proposed."""

MAX_WHOLE_S = 60.0
"""Longest recording that is reviewed as a whole: listeners would not hear more per question."""


@dataclass(frozen=True)
class Scored:
    """A run and its scores on its held-out fold; `network` is its `network_name`."""

    folder: Path
    network: str
    card: ModelCard
    scores: HeldOutScores


class _Candidate(NamedTuple):
    """A snippet with its votes and its weak label (1, 0, or -1 if there is none)."""

    snippet: Snippet
    votes: tuple[float, ...]
    weak: int


def find_scored(runs_dir: Path, names: Sequence[str]) -> list[Scored]:
    """Find the runs whose held-out scores are reviewed.

    By default, these are the newest finished runs on own recordings for each held-out fold, with
    the same classes as the newest of all.

    Raises:
        SedmtlError: There is none, or one cannot be read or has other classes.
    """
    if names:
        runs = [find_run(runs_dir, name) for name in names]
    else:
        newest: dict[int, Path] = {}
        for run in finished_runs(runs_dir):
            recipe = read_run(run)
            if recipe["data"] == "clips" and recipe["fold"]:
                newest[recipe["fold"]] = run
        runs = sorted(newest.values(), key=lambda run: (run / "model.safetensors").stat().st_mtime)
    if not runs:
        raise SedmtlError(
            f"no finished run on own recordings with a held-out fold in {runs_dir}: train "
            "some with 'sedmtl train --fold all', or name audio files to review"
        )
    cards = [load_card(run) for run in runs]
    kept = [
        Scored(run, network_name(run), card, read_scores(run / "scores.h5"))
        for run, card in zip(runs, cards, strict=True)
        if names or card.classes == cards[-1].classes
    ]
    check_same_classes([(each.network, each.card) for each in kept])
    return kept


def check_same_classes(runs: Sequence[tuple[str, ModelCard]]) -> None:
    """Raise a `SedmtlError` if the networks have different classes."""
    for name, card in runs[1:]:
        if set(card.classes) != set(runs[0][1].classes):
            raise SedmtlError(
                f"expected runs of the same classes, found others in {name} than in {runs[0][0]}: "
                "review them separately"
            )


def proposing(settings: PostProcessing) -> PostProcessing:
    """The post-processing with which events are proposed."""
    return replace(settings, threshold=tuple(SHARE * each for each in settings.threshold))


def held_out(runs: Sequence[Scored]) -> Pool:
    """All pairs of recording and class in the held-out folds of runs.

    Each run with the recording in its held-out fold has two votes on a pair: its clip score and its
    highest frame score after post-processing, the latter unless its frame scores are signed.
    """
    merged: dict[tuple[str, ...], _Candidate] = {}
    for run in runs:
        for each in _of_run(run):
            known = merged.get(each.snippet.key)
            if known:
                each = known._replace(votes=known.votes + each.votes)
            merged[each.snippet.key] = each
    return _pool(list(merged.values()))


def predicted(
    runs: Sequence[tuple[str, ModelCard]], found: Sequence[Mapping[str, Prediction]]
) -> Pool:
    """The events that the first run proposes, with votes of all runs.

    Args:
        runs: Names of networks with their cards; the first one proposes.
        found: Predictions of each run with its `proposing` settings, by recording.
    """
    votes_of = [
        {name: _votes(card, prediction) for name, prediction in of_run.items()}
        for (_, card), of_run in zip(runs, found, strict=True)
    ]
    candidates = []
    for name, prediction in found[0].items():
        for event in prediction.events:
            votes = [v for each in votes_of if name in each for v in each[name].on(event)]
            snippet = _snippet(name, event, runs[0][0], prediction.events)
            candidates.append(_Candidate(snippet, tuple(votes), -1))
    return _pool(candidates)


def listed(name: str, found: Mapping[str, Sequence[Detection]]) -> Pool:
    """Events of another tool or a person, by recording; `name` is used in place of a run.

    Scores vote with a threshold of 0.5; events without a score get 1 and a neutral vote.
    """
    candidates = []
    for filename, events in found.items():
        for event in events:
            known = event._replace(score=1.0 if math.isnan(event.score) else event.score)
            vote = 0.0 if math.isnan(event.score) else _vote(event.score, 0.5)
            candidates.append(_Candidate(_snippet(filename, known, name, events), (vote,), -1))
    return _pool(candidates)


class _Votes(NamedTuple):
    """A run's events and clip score votes in a recording, and its thresholds, by class."""

    events: Sequence[Detection]
    clip: Mapping[str, float]
    threshold: Mapping[str, float]

    def on(self, event: Detection) -> tuple[float, float]:
        """The votes on an event of the frame scores and of the clip score.

        A network that does not propose the event votes with the score at which it would.
        """
        threshold = self.threshold[event.label]
        score = max(
            (
                each.score
                for each in self.events
                if each.label == event.label
                and each.onset_s < event.offset_s
                and each.offset_s > event.onset_s
            ),
            default=SHARE * threshold,
        )
        return _vote(score, threshold), self.clip[event.label]


def _votes(card: ModelCard, prediction: Prediction) -> _Votes:
    clip = logit(prediction.clip) - logit(card.tag_threshold)
    return _Votes(
        prediction.events,
        dict(zip(card.classes, clip.tolist(), strict=True)),
        dict(zip(card.classes, card.postprocessing.threshold, strict=True)),
    )


def _of_run(run: Scored) -> Iterator[_Candidate]:
    """The candidates of one run."""
    card, scores = run.card, run.scores
    settings, is_signed = card.postprocessing, card.network.frame_meaning == "signed"
    anything = replace(settings, threshold=(0.0,) * len(card.classes))
    clip = scores.score["honest"]
    of_clip = logit(clip) - logit(card.tag_threshold)
    for row, name in enumerate(scores.name):
        peak = dict.fromkeys(card.classes, 0.0)
        for event in detected(scores, row, anything):
            peak[event.label] = max(peak[event.label], event.score)
        is_whole = is_signed or scores.durations_s[row] <= MAX_WHOLE_S
        events = [] if is_whole else detected(scores, row, proposing(settings))
        for i, (label, threshold) in enumerate(zip(card.classes, settings.threshold, strict=True)):
            votes, weak = float(of_clip[row, i]), int(scores.target[row, i])
            if is_whole:
                snippet = Snippet(name, label, None, None, float(clip[row, i]), run.network)
                of_frames = math.nan if is_signed else _vote(peak[label], threshold)
                yield _Candidate(snippet, (votes, of_frames), weak)
            for event in (each for each in events if each.label == label):
                snippet = _snippet(name, event, run.network, events)
                yield _Candidate(snippet, (votes, _vote(event.score, threshold)), weak)


def _snippet(filename: str, event: Detection, run: str, events: Sequence[Detection]) -> Snippet:
    n_alike = sum(each.label == event.label for each in events)
    return Snippet(
        filename, event.label, event.onset_s, event.offset_s, min(max(event.score, 0.0), 1.0), run,
        of_recording=len(events), of_class=n_alike,
    )  # fmt: skip


def _vote(score: float, threshold: float) -> float:
    return float(logit(score) - logit(threshold))


def _pool(candidates: Sequence[_Candidate]) -> Pool:
    """Convert candidates to a pool, adding the number of proposals in the band of each."""
    band = bands(np.array([each.snippet.score for each in candidates], float)).tolist()
    places = [(each.snippet.label, number) for each, number in zip(candidates, band, strict=True)]
    n_alike = Counter(places)
    snippets = [
        each.snippet._replace(of_band=n_alike[place])
        for each, place in zip(candidates, places, strict=True)
    ]
    n_votes = max((len(each.votes) for each in candidates), default=1)
    votes = np.full((len(candidates), n_votes), np.nan)
    for row, each in enumerate(candidates):
        votes[row, : len(each.votes)] = each.votes
    return Pool(snippets, votes, np.array([each.weak for each in candidates], np.int8))
