from __future__ import annotations

import numpy as np
import pytest
from sed_golden import events, golden, naive_counts, random_case, rows

from sedmtl.metrics import frame as frame_metrics
from sedmtl.metrics.psds import SCENARIO_1, SCENARIO_2, evaluate

SCENARIOS = {"psds1": SCENARIO_1, "psds2": SCENARIO_2}


def of_golden(given, scenario):
    return evaluate(given.truth, given.frame, given.edges_s, given.durations_s, scenario)


@pytest.mark.parametrize("data", "AB")
@pytest.mark.parametrize("name", SCENARIOS)
def test_the_curve_and_its_area_are_those_of_the_reference(data, name):
    given = golden(data)
    scored = of_golden(given, SCENARIOS[name])
    assert scored.value == pytest.approx(given.expected[name], abs=1e-9)
    wanted = given.reference["psds"][name]
    for part in ("per_class", "efpr", "etpr"):
        np.testing.assert_allclose(getattr(scored, part), wanted[part], atol=1e-9)


@pytest.mark.parametrize("data", "AB")
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize(("field", "value"), [("alpha_st", 0), ("e_max", 1000)])
def test_other_parameters_give_the_values_of_the_reference(data, name, field, value):
    given = golden(data)
    scored = of_golden(given, SCENARIOS[name]._replace(**{field: value}))
    assert scored.value == pytest.approx(given.expected[f"{name}_{field}_{value}"], abs=1e-9)


@pytest.mark.parametrize("data", "AB")
@pytest.mark.parametrize("name", SCENARIOS)
def test_the_values_after_a_median_filter_are_those_of_the_reference(data, name):
    given = golden(data)
    args = given.smoothed(), given.edges_s, given.durations_s
    scored = evaluate(given.truth, *args, SCENARIOS[name])
    assert scored.value == pytest.approx(given.expected[f"median7_zero_{name}"], abs=1e-9)


def naive_psds(case, durations_s, scenario):
    """By definition: a point per distinct score, then the best rate below each alarm rate."""
    points, merged = {}, rows(case.truth.merged())
    labels = sorted({label for _, label, _, _ in merged})
    seconds = [sum(r[3] - r[2] for r in merged if r[1] == o) for o in range(3)]
    for label in labels:
        n_truths = sum(r[1] == label for r in merged)
        points[label] = [(0.0, 0.0)]
        for threshold in np.unique(case.frame[:, label]):
            tp, fp, cross = naive_counts(case, label, threshold, *scenario[:3])
            rate = [cross[o] / seconds[o] for o in labels if o != label]
            alarms = fp / durations_s.sum() + scenario.alpha_ct * np.mean(rate or [0])
            points[label].append((3600 * alarms, tp / n_truths))
    grid = sorted({e for p in points.values() for e, _ in p if e <= scenario.e_max})
    area = 0.0
    for e, next_e in zip(grid, [*grid[1:], scenario.e_max], strict=True):
        best = [max(tpr for other, tpr in points[k] if other <= e + 1e-6) for k in labels]
        area += max(0, np.mean(best) - scenario.alpha_st * np.std(best)) * (next_e - e)
    return area / scenario.e_max


@pytest.mark.parametrize("n_levels", [None, 4])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_it_is_what_loops_over_all_thresholds_give(seed, n_levels, scenario):
    case, durations_s = random_case(seed, n_levels), np.array([30.0, 40, 50, 20])
    for alpha_st in (0, 1):
        asked = scenario._replace(alpha_st=alpha_st, e_max=300)
        scored = evaluate(case.truth, case.frame, case.edges_s, durations_s, asked)
        assert scored.value == pytest.approx(naive_psds(case, durations_s, asked), abs=1e-9)


def test_scores_that_are_the_truth_score_one():
    edges_s = np.arange(11) / 10
    truth = events((0, 0, 0.2, 0.5), (0, 1, 0.4, 0.6), (1, 1, 0.0, 1.0))
    frame = frame_metrics.targets(truth, 2, 2, edges_s).astype(np.float32)
    for scenario in SCENARIOS.values():
        scored = evaluate(truth, frame, edges_s, np.ones(2), scenario)
        assert scored.value == 1
        assert scored.per_class.tolist() == [1, 1]


def test_a_worked_example():
    """One false alarm in 36 s is 100 per hour; it lies between the two true detections."""
    truth = events((0, 0, 0, 1), (1, 0, 2, 3))
    frame = np.array([[[0.9, 0, 0]], [[0.8, 0, 0.7]]])
    scenario = SCENARIO_1._replace(e_max=400)
    scored = evaluate(truth, frame, np.arange(4.0), np.array([6.0, 30]), scenario)
    assert scored.efpr.tolist() == [0, 100, 400]
    assert scored.etpr.tolist() == [0.5, 1, 1]
    assert scored.value == pytest.approx((0.5 * 100 + 1 * 300) / 400)


def test_a_cross_trigger_counts_in_addition_to_its_false_alarm():
    """Class 0 is detected in the 2 s of class 1 before it is detected in its own event."""
    truth = events((0, 0, 0, 0.3), (0, 1, 2, 4))
    frame = np.array([[[0.5, 0.1, 0.9, 0.9], [0, 0, 1, 1]]])
    scenario = SCENARIO_2._replace(e_max=10_000)
    scored = evaluate(truth, frame, np.arange(5.0), np.array([3.6]), scenario)
    alarms = 3600 * (1 / 3.6 + 0.5 * 1 / 2)
    assert scored.efpr.tolist() == pytest.approx([0, alarms, 10_000])
    assert scored.per_class.tolist() == pytest.approx([1 - alarms / 10_000, 1])


def test_only_the_order_of_scores_matters():
    given = golden("A")
    args = given.edges_s, given.durations_s, SCENARIO_2
    logit = np.log(given.frame.astype(np.float64) / (1 - given.frame.astype(np.float64)))
    assert evaluate(given.truth, logit, *args).value == of_golden(given, SCENARIO_2).value


def test_half_precision_scores_are_scored_as_they_are():
    given = golden("A")
    half = given.frame.astype(np.float16)
    assert len(np.unique(half)) < len(np.unique(given.frame))
    args = given.edges_s, given.durations_s, SCENARIO_1
    same = evaluate(given.truth, half.astype(np.float64), *args)
    assert evaluate(given.truth, half, *args).value == same.value


def test_without_a_penalty_for_spread_it_is_the_mean_of_the_classes():
    given = golden("B")
    scored = of_golden(given, SCENARIO_2._replace(alpha_st=0))
    assert scored.value == pytest.approx(scored.per_class.mean(), abs=1e-12)


def test_a_class_without_truth_changes_nothing_and_is_not_counted():
    given = golden("A")
    frame = np.insert(given.frame, 0, 1, axis=1)
    truth = events(*((c, label + 1, on, off) for c, label, on, off in rows(given.truth)))
    for name, scenario in SCENARIOS.items():
        scored = evaluate(truth, frame, given.edges_s, given.durations_s, scenario)
        assert scored.value == pytest.approx(given.expected[name], abs=1e-9)
        assert np.isnan(scored.per_class).tolist() == [True] + 5 * [False]
        assert scored.n_classes_scored == 5


def test_one_class_alone_has_no_cross_triggers():
    truth, frame = events((0, 0, 0, 1)), np.array([[[0.9, 0.1]]])
    assert evaluate(truth, frame, np.arange(3.0), np.array([2.0]), SCENARIO_2).value == 1


def test_overlapping_truths_are_merged_first():
    given = golden("A")
    halves = [r for c, k, on, off in rows(given.truth)
              for r in ((c, k, (on + off) / 2, off), (c, k, on, off))]  # fmt: skip
    args = given.frame, given.edges_s, given.durations_s, SCENARIO_2
    scored = evaluate(events(*halves), *args)
    assert scored.value == pytest.approx(given.expected["psds2"], abs=1e-9)


def test_without_any_truth_there_is_no_score():
    scored = evaluate(events(), np.ones((2, 3, 4)), np.arange(5.0), np.ones(2), SCENARIO_1)
    assert np.isnan(scored.value)
    assert np.isnan(scored.per_class).tolist() == [True] * 3
    assert (len(scored.efpr), scored.n_classes_scored) == (0, 0)
