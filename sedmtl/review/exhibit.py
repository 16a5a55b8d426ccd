"""Prepares a snippet for a listener: its sound with context, log-mel, and scores over time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from sedmtl.data import audio
from sedmtl.inference.detector import Detector
from sedmtl.report.embedding import data_uri, sound
from sedmtl.report.figures import encode_map
from sedmtl.review.pool import MAX_WHOLE_S
from sedmtl.review.verdicts import Snippet


class Scores(NamedTuple):
    """Scores of the snippet's class over time.

    Attributes:
        first_s: Start of the first frame in the recording.
        hop_s: Length of a frame.
        values: (T,) in [0, 1]; empty for a class that the network does not know.
        threshold: The network's event threshold; None for a class that it does not know.
    """

    first_s: float
    hop_s: float
    values: npt.NDArray[np.float32]
    threshold: float | None


@dataclass(frozen=True)
class Exhibit:
    """A snippet to listen to and look at.

    Attributes:
        snippet: The question.
        start_s: Start of the excerpt in the recording.
        end_s: End of the excerpt in the recording.
        sound: The audio as a data URI.
        picture: The log-mel as a data URI.
        picture_s: Time range of the picture.
        scores: Scores of the class in the excerpt.
        event_s: Onset and offset of the proposed event; None if there is none.
    """

    snippet: Snippet
    start_s: float
    end_s: float
    sound: Markup
    picture: Markup
    picture_s: tuple[float, float]
    scores: Scores
    event_s: tuple[float, float] | None


def exhibit(snippet: Snippet, path: Path, detector: Detector, context_s: float) -> Exhibit:
    """Cut a snippet from its recording.

    The network's input is at least a clip long. The excerpt is the event with `context_s` on either
    side, or the whole recording if the question is about that, cut to `MAX_WHOLE_S`.

    Raises:
        SedmtlError: The recording cannot be read.
    """
    card, rate = detector.card, detector.card.sample_rate
    duration_s = audio.probe(path).duration_s
    start_s, end_s = _shown(snippet, duration_s, context_s)
    more_s = max(card.duration_s - (end_s - start_s), 0.0) / 2
    from_s = max(min(start_s - more_s, duration_s - card.duration_s), 0.0)
    length_s = max(end_s + more_s - from_s, card.duration_s)
    heard = audio.read(path, rate, start_s=from_s, duration_s=length_s)
    found = detector.predict(heard, rate)
    first, last = (round((time_s - from_s) * rate) for time_s in (start_s, end_s))
    shown = heard[first : max(last, first + 1)]
    row = card.classes.index(snippet.label) if snippet.label in card.classes else None
    event_s: tuple[float, float] | None
    edges_s = from_s + found.frame_edges_s
    within = (edges_s[1:] > start_s) & (edges_s[:-1] < end_s)
    scores = Scores(
        float(edges_s[:-1][within][0]) if within.any() else start_s,
        card.grid.hop_s,
        np.zeros(0, np.float32) if row is None else found.frame[row][within],
        None if row is None else card.postprocessing.threshold[row],
    )
    if snippet.onset_s is not None and snippet.offset_s is not None:
        event_s = (snippet.onset_s, snippet.offset_s)
    else:
        of_class = [event for event in found.events if event.label == snippet.label]
        best = max(of_class, key=lambda event: event.score, default=None)
        event_s = best and (from_s + best.onset_s, from_s + best.offset_s)
    picture, picture_s = _picture(detector, shown, start_s)
    return Exhibit(
        snippet, start_s, end_s, sound(shown, rate, is_small=True), picture, picture_s, scores,
        event_s,
    )  # fmt: skip


def _shown(snippet: Snippet, duration_s: float, context_s: float) -> tuple[float, float]:
    if snippet.onset_s is None or snippet.offset_s is None:
        return 0.0, min(duration_s, MAX_WHOLE_S)
    start_s = max(min(snippet.onset_s, duration_s) - context_s, 0.0)
    return start_s, min(snippet.offset_s + context_s, duration_s, start_s + MAX_WHOLE_S)


def _picture(
    detector: Detector, shown: audio.Audio, start_s: float
) -> tuple[Markup, tuple[float, float]]:
    """The log-mel of a waveform, one pixel per value, and its time range."""
    card = detector.card
    n_samples = max(len(shown), int(card.features["window"]))
    clip = audio.conform(shown, n_samples)[None]
    values = detector.network.logmel(clip)[0].cpu().numpy()  # (T, F)
    low, high = np.quantile(values, [0.005, 0.995])
    picture = encode_map(values.T[::-1], float(low), float(max(high, low + 1e-3)), "magma")
    grid = card.logmel_grid
    begin_s = start_s + grid.first_edge_s
    return data_uri(picture, "image/png"), (begin_s, begin_s + len(values) * grid.hop_s)
