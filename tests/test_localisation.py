from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sed_golden import detections
from test_results import scored

from sedmtl.evaluation import localisation
from sedmtl.evaluation.localisation import measure
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.metrics import collar, frame
from sedmtl.store import EventTable, annotation_of, known_clips

HALF = PostProcessing((0.5,) * 4)


@pytest.fixture
def scores():
    """Random scores: 30 clips, 4 classes, 20 frames of 0.1 s."""
    return scored(1).scores


def perfect(scores):
    """Frame scores that are 1 where an event sounds and 0 elsewhere."""
    truth = annotation_of(scores.events)
    target = frame.targets(truth, *scores.frame.shape[:2], scores.frame_edges_s)
    return replace(scores, frame=target.astype(np.float16))


def test_perfect_frame_scores_are_perfect_in_every_metric(scores):
    values = measure(perfect(scores), HALF).values()
    for name, value in values.items():
        assert value == (0 if "error_rate" in name else 1), name


def test_inverted_frame_scores_find_nothing(scores):
    inverted = replace(scores, frame=np.float16(1) - perfect(scores).frame)
    values = measure(inverted, HALF).values()
    assert values["psds1"] == values["collar_f1_macro"] == 0
    prevalence = (perfect(scores).frame == 1).mean()
    assert values["frame_ap_micro"] == pytest.approx(prevalence)


def test_gating_and_filter_are_those_of_the_run(scores):
    """With gating, a class with clip score 0 is not detected."""
    certain = perfect(scores)
    denied = np.ones((30, 4), np.float32)
    denied[:, 2] = 0.4
    certain = replace(certain, score={"honest": denied})
    f1 = measure(certain, replace(HALF, gated=True)).collar.f1
    np.testing.assert_array_equal(f1, [1, 1, 0, 1])
    smoothed = measure(certain, replace(HALF, median_s=1.7))  # longer than twice an event of 0.7 s
    assert smoothed.collar.f1_macro == 0


def test_clips_without_known_events_do_not_count():
    target = np.array([[1, 0], [0, 0], [0, 1], [1, 1]], np.uint8)
    column = np.zeros(1, np.float32)
    events = EventTable(np.array([2], np.int32), np.array([1], np.int16),
                        column, column + 1, column, [""])  # fmt: skip
    np.testing.assert_array_equal(known_clips(target, events), [1, 2])
    assert len(known_clips(target, EventTable.empty())) == 0


def test_without_strong_labels_nothing_is_measured(scores):
    assert measure(replace(scores, events=EventTable.empty()), HALF) is None


def test_only_known_clips_are_counted(scores):
    some = scores.events.of_clips(np.arange(10))
    target = scores.target.copy()
    measured = measure(replace(scores, events=some), HALF)
    assert measured.n_clips == 10 + (~target[10:].any(axis=1)).sum()


def test_thresholds_are_strict_and_per_class(scores):
    """The metrics use the same events that prediction gives."""
    settings = PostProcessing((0.9, 0.1, 0.5, 0.7))
    active = scores.frame.astype(np.float32) > np.array(settings.threshold)[:, None]
    found = detections(active, scores.frame_edges_s)
    expected = collar.evaluate(annotation_of(scores.events), found, 4)
    measured = measure(scores, settings).collar
    np.testing.assert_allclose(measured.f1, expected.f1)
    assert measured.error_rate_micro == pytest.approx(expected.error_rate_micro)


def test_measurements_survive_json(scores):
    measured = measure(scores, HALF)
    text = json.dumps(localisation.as_json(measured))
    back = localisation.from_json(json.loads(text))
    assert back.values() == pytest.approx(measured.values(), nan_ok=True)
    for key, values in measured.per_class().items():
        np.testing.assert_array_equal(back.per_class()[key], values)
    np.testing.assert_array_equal(back.psds1.etpr, measured.psds1.etpr)


def test_another_schema_is_not_read(scores):
    data = localisation.as_json(measure(scores, HALF))
    with pytest.raises(KeyError):
        localisation.from_json({**data, "schema": 99})
