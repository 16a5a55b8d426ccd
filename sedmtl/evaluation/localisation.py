"""How well a run locates events in time: all localisation metrics of its held-out fold.

The metrics themselves are in `metrics`; this module prepares their input. The epoch and the
thresholds were chosen on inner validation, so no reported number depends on a choice made on the
held-out fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, get_type_hints

import numpy as np
import numpy.typing as npt

from sedmtl.data.grid import n_shared
from sedmtl.events import Detection
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.inference.postprocess import segment as find_events
from sedmtl.inference.timelines import Scores, Timelines, shaped
from sedmtl.metrics import collar, frame, intersection, psds, segment
from sedmtl.metrics.annotation import Annotation
from sedmtl.metrics.counts import EventMetrics
from sedmtl.metrics.frame import FrameMetrics
from sedmtl.metrics.packing import Packing
from sedmtl.metrics.psds import Psds
from sedmtl.runtime.documents import sealed, unsealed
from sedmtl.store import HeldOutScores, annotation_of, known_clips

SCHEMA = 1


class Localisation(NamedTuple):
    """The localisation metrics of one held-out fold.

    Attributes:
        psds1: PSDS scenario 1: precise timing. Threshold-free, like `psds2`.
        psds2: PSDS scenario 2: no confusion of classes.
        collar: Event-based metrics: onset within 0.2 s, offset within 0.2 s or 20 % of the event.
        segment: Segment-based metrics with segments of 1 s.
        intersection: Intersection-based metrics with DTC and GTC of 0.5.
        frame: Metrics of the raw frame scores, neither filtered nor gated.
        n_clips: Clips with known strong labels; the others are ignored.
    """

    psds1: Psds
    psds2: Psds
    collar: EventMetrics
    segment: EventMetrics
    intersection: EventMetrics
    frame: FrameMetrics
    n_clips: int

    def values(self) -> dict[str, float]:
        """The metrics to average over folds, by their keys in JSON."""
        values = {"psds1": self.psds1.value, "psds2": self.psds2.value}
        for name in ("collar", "segment", "intersection"):
            keys = ["f1_micro", "f1_macro"]
            keys += ["error_rate_micro", "error_rate_macro"] if name != "intersection" else []
            values |= {f"{name}_{key}": getattr(getattr(self, name), key) for key in keys}
        values |= {f"frame_{key}": getattr(self.frame, key) for key in ("ap_micro", "ap_macro")}
        return values

    def per_class(self) -> dict[str, npt.NDArray[np.float64]]:
        """The metrics of each class: (C,) each, NaN for a class without true events."""
        return {
            "psds1": self.psds1.per_class,
            "psds2": self.psds2.per_class,
            "collar_f1": self.collar.f1,
            "segment_f1": self.segment.f1,
            "intersection_f1": self.intersection.f1,
            "frame_ap": self.frame.ap,
        }


def measure(scores: HeldOutScores, settings: PostProcessing) -> Localisation | None:
    """Compute all metrics of a run's held-out fold; None if strong labels are unknown."""
    rows = known_clips(scores.target, scores.events)
    if not len(rows):
        return None
    truth = annotation_of(scores.events.of_clips(rows))
    lines, durations_s = timelines(scores, rows), scores.durations_s[rows]
    n_classes = len(scores.classes)
    raw, ready = lines.joined(), shaped(lines.joined(settings), settings, _hop_s(scores))
    thresholds = replace(settings, median_s=0.0, step_s=0.0)  # the scores are filtered already
    found = _annotation(
        scores.classes,
        [
            _events(each, thresholds, scores, length_s)
            for each, length_s in zip(ready, durations_s, strict=True)
        ],
    )
    packing = Packing.of([each.shape[-1] for each in raw], scores.frame_edges_s)
    packed, all_ready, edges_s = packing.annotation(truth), packing.frames(ready), packing.edges_s
    all_raw = packing.frames(raw)
    target = frame.targets(packed, len(all_raw), n_classes, edges_s)
    return Localisation(
        psds1=psds.evaluate(packed, all_ready, edges_s, durations_s, psds.SCENARIO_1),
        psds2=psds.evaluate(packed, all_ready, edges_s, durations_s, psds.SCENARIO_2),
        collar=collar.evaluate(truth, found, n_classes),
        segment=segment.evaluate(truth, found, n_classes, durations_s),
        intersection=intersection.evaluate(truth, found, n_classes),
        frame=frame.evaluate(target, all_raw),
        n_clips=len(rows),
    )


def timelines(scores: HeldOutScores, rows: npt.NDArray[np.integer]) -> Timelines:
    """The frame scores of some clips of a run's held-out fold."""
    clip = scores.score["honest"] if scores.window_score is None else scores.window_score
    shared = n_shared(_hop_s(scores), len(scores.frame_edges_s) - 1)
    return Timelines(scores.frame, clip, scores.windows, shared).of_clips(rows)


def detected(scores: HeldOutScores, row: int, settings: PostProcessing) -> list[Detection]:
    """The events that a run's post-processing finds in a clip, sorted by onset, then class."""
    (gated,) = timelines(scores, np.array([row])).joined(settings)
    return _events(gated, settings, scores, float(scores.durations_s[row]))


def _events(
    gated: Scores, settings: PostProcessing, scores: HeldOutScores, duration_s: float
) -> list[Detection]:
    start_s = float(scores.frame_edges_s[0])
    found = find_events(gated, settings, scores.classes, _hop_s(scores), start_s)
    return [event._replace(offset_s=min(event.offset_s, duration_s)) for event in found]


def _hop_s(scores: HeldOutScores) -> float:
    edges_s = scores.frame_edges_s
    return float(edges_s[-1] - edges_s[0]) / (len(edges_s) - 1)


def _annotation(classes: Sequence[str], found: Sequence[Sequence[Detection]]) -> Annotation:
    number = {label: k for k, label in enumerate(classes)}
    events = [
        (clip, number[event.label], event.onset_s, event.offset_s)
        for clip, of_clip in enumerate(found)
        for event in of_clip
    ]
    clip, label, onset_s, offset_s = np.array(events, np.float64).reshape(-1, 4).T
    return Annotation(clip.astype(np.int64), label.astype(np.int64), onset_s, offset_s)


def as_json(measured: Localisation) -> dict[str, Any]:
    """Plain values; undefined ones are NaN."""
    families = {
        name: {key: np.asarray(value).tolist() for key, value in family._asdict().items()}
        for name, family in measured._asdict().items()
        if name != "n_clips"
    }
    return sealed({"schema": SCHEMA, **families, "n_clips": measured.n_clips})


def from_json(data: Mapping[str, Any]) -> Localisation:
    """The inverse of `as_json`.

    Raises:
        KeyError, TypeError, ValueError: The data have another schema, or are damaged.
    """
    if data["schema"] != SCHEMA:
        raise KeyError("schema")
    data = unsealed(data)
    families = {
        name: kind(**{k: np.array(v) if isinstance(v, list) else v for k, v in data[name].items()})
        for name, kind in get_type_hints(Localisation).items()
        if kind is not int
    }
    return Localisation(**families, n_clips=int(data["n_clips"]))
