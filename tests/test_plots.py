"""Figure 3 of synthetic inspections, and what picture and page share."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from views import N_FRAMES, N_MELS, inspection_of, view_of

from sedmtl.events import Detection, Event
from sedmtl.inference.model_card import check_classes
from sedmtl.report import figures as plots
from sedmtl.report.figures.truth import lanes_of
from sedmtl.report.figures.view import (
    choose_classes,
    mel_ticks,
    score_scale,
    short_names,
    spectrum_scale,
    weight_scale,
)
from sedmtl.runtime.errors import SedmtlError

pytestmark = pytest.mark.slow


def draw(*views, truth=None, shown=None):
    shown = shown or choose_classes(views, truth, plots.MAX_CLASSES)
    return plots.figure_3(views, "title", shown, truth)


def panels(figure, column=0):
    """The axes of panels 1 to 6 in a network's column, then the one of panel 7."""
    titled = [axis for axis in figure.axes if axis.get_title(loc="left")[:2].strip().isdigit()]
    by_number = {}
    for axis in titled:
        by_number.setdefault(axis.get_title(loc="left")[0], []).append(axis)
    keys = [axis for axis in titled if axis.get_title(loc="left")[1] == ","]
    rows = [[a for a in by_number[str(n)] if a not in keys] for n in range(1, 7)]
    return [row[column] for row in rows] + by_number["7"]


def title(axis):
    return axis.get_title(loc="left")


def image(axis):
    (only,) = axis.get_images()
    return only


def outlines(axis):
    return [
        (patch.get_x(), patch.get_y(), patch.get_width(), patch.get_height())
        for patch in axis.patches
        if isinstance(patch, Rectangle) and not patch.fill and not patch.get_hatch()
    ]


def names_of(axis):
    return [label.get_text() for label in axis.get_yticklabels()]


def test_there_are_seven_panels_in_the_papers_order():
    words = ("log-mel", "reconstruction", "mel bins: class", "mel bins: class", "first step",
             "attention over time", "clip score")  # fmt: skip
    for number, (axis, word) in enumerate(
        zip(panels(draw(view_of(inspection_of(5)))), words, strict=True), start=1
    ):
        assert title(axis).startswith(f"{number}  ")
        assert word in title(axis)


def test_the_first_two_of_the_shown_classes_have_their_attention_shown():
    view = view_of(inspection_of(6))
    axes = panels(draw(view, shown=["class_4", "class_1", "class_0"]))
    for axis, name in zip(axes[2:4], ("class_4", "class_1"), strict=True):
        assert name in title(axis)
        np.testing.assert_array_equal(
            image(axis).get_array(), view.inspection.mel_attention[int(name[-1])].T
        )


def test_all_panels_over_time_share_one_axis_in_seconds():
    figure = draw(view_of(inspection_of(5)), truth=[Event("class_1", 3, 4)])
    figure.draw_without_rendering()
    over_time = panels(figure)[:6]
    for axis in over_time:
        assert axis.get_xlim() == (2, 5)
        np.testing.assert_allclose(image(axis).get_extent()[:2], (2.05, 4.95))
        left, right = axis.get_position().x0, axis.get_position().x1
        first = over_time[0].get_position()
        assert (left, right) == pytest.approx((first.x0, first.x1))
    assert [axis.get_xlabel() for axis in over_time] == [""] * 5 + ["time (s)"]


def test_mel_bins_are_labelled_in_hertz_at_their_place():
    view = view_of(inspection_of(5))
    axis = panels(draw(view))[0]
    hz = [int(name.replace(",", "")) for name in names_of(axis)]
    assert set(hz) <= {100, 200, 500, 1000, 2000}
    at_bins = np.interp(axis.get_yticks(), np.arange(N_MELS), view.inspection.mel_hz)
    np.testing.assert_allclose(at_bins, hz, rtol=1e-3)


def test_compared_maps_have_the_same_colours():
    views = [view_of(inspection_of(5, seed=seed), name=f"run{seed}") for seed in range(2)]
    figure = draw(*views)
    first, second = panels(figure, 0), panels(figure, 1)
    limits = [image(axis).get_clim() for axis in first[:6]]
    assert limits[0] == limits[1]
    assert limits[2] == limits[3]
    assert [image(axis).get_clim() for axis in second[:6]] == limits


def test_the_maps_show_the_inspection_the_right_way_up():
    view = view_of(inspection_of(4))
    axes = panels(draw(view))
    np.testing.assert_array_equal(image(axes[0]).get_array(), view.inspection.logmel.T)
    order = np.argsort(-view.inspection.clip)
    np.testing.assert_array_equal(image(axes[4]).get_array(), view.inspection.frame[order])
    assert names_of(axes[4]) == [view.inspection.classes[i] for i in order]
    assert axes[4].yaxis_inverted()
    assert not axes[0].yaxis_inverted()


def test_clip_scores_are_beside_their_rows():
    view = view_of(inspection_of(4))
    figure = draw(view, shown=["class_2", "class_0"])
    axes = panels(figure)
    widths = [bar.get_width() for bar in axes[6].patches]
    np.testing.assert_allclose(widths, view.inspection.clip[[2, 0]])
    figure.draw_without_rendering()
    beside, rows = axes[6].get_position(), axes[5].get_position()
    assert (beside.y0, beside.y1) == pytest.approx((rows.y0, rows.y1))
    assert axes[6].get_ylim() == axes[5].get_ylim()


def test_true_events_are_outlined_in_the_maps_of_their_classes():
    truth = [Event("class_1", 2.5, 3.5), Event("class_2", 4.0, 4.75)]
    axes = panels(draw(view_of(inspection_of(4)), truth=truth, shown=["class_0", "class_1"]))
    for axis in axes[:2]:
        assert outlines(axis) == [(2.5, -0.5, 1.0, N_MELS), (4.0, -0.5, 0.75, N_MELS)]
    assert outlines(axes[2]) == []
    assert outlines(axes[3]) == [(2.5, -0.5, 1.0, N_MELS)]
    for axis in axes[4:6]:
        assert outlines(axis) == [(2.5, 0.5, 1.0, 1)]


def test_a_strip_above_names_the_true_events():
    texts = {text.get_text().strip() for axis in draw(
        view_of(inspection_of(4)), truth=[Event("class_1", 2.5, 3.5)]
    ).axes for text in axis.texts}  # fmt: skip
    assert "class_1" in texts


def test_an_unknown_truth_is_not_the_same_as_no_event():
    unknown, none = (draw(view_of(inspection_of(3)), truth=truth) for truth in (None, []))
    assert not any(outlines(axis) for axis in panels(unknown)[:6] + panels(none)[:6])
    assert ["no true event"] in [names_of(axis) for axis in none.axes]
    assert ["no true event"] not in [names_of(axis) for axis in unknown.axes]


def test_two_networks_are_side_by_side_with_their_scores():
    first, second = (view_of(inspection_of(4, seed=seed), name=f"run{seed}") for seed in range(2))
    figure = draw(first, second, shown=["class_3", "class_1"])
    headings = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert headings == ["(a)  run0", "(b)  run1"]
    for view, column in ((first, 0), (second, 1)):
        np.testing.assert_array_equal(
            image(panels(figure, column)[4]).get_array(), view.inspection.frame[[3, 1]]
        )
    widths = [bar.get_width() for bar in panels(figure)[6].patches]
    scores = [*first.inspection.clip[[3, 1]], *second.inspection.clip[[3, 1]]]
    np.testing.assert_allclose(widths, scores)


def test_classes_are_found_by_name_where_networks_order_them_differently():
    first, second = inspection_of(3, names="abc"), inspection_of(3, seed=1, names="cab")
    figure = draw(view_of(first), view_of(second), shown=["b"])
    np.testing.assert_array_equal(image(panels(figure, 1)[4]).get_array(), second.frame[[2]])


def without_maps(seed=0):
    bare = {"mel_attention": None, "time_attention": None, "reconstruction": None}
    return replace(inspection_of(3, seed=seed), **bare)


def test_panels_that_are_left_out_say_why():
    axes = panels(
        draw(
            view_of(
                without_maps(), no_decoder="its decoder was not trained", frame_meaning="evidence"
            )
        )
    )
    assert "its decoder was not trained" in title(axes[1])
    for axis in (axes[2], axes[3], axes[5]):
        assert "left out, this network has none" in title(axis)
        assert not axis.get_images()
    assert title(axes[4]) == "5  classes over time"
    assert axes[4].get_xlabel() == "time (s)"


def test_beside_a_network_that_has_them_missing_panels_say_why_in_their_place():
    for views in ((0, 1), (1, 0)):
        made = [view_of(inspection_of(3)), view_of(without_maps())]
        figure = draw(*(made[i] for i in views))
        bare = panels(figure, views.index(1))
        for axis in bare[1:4] + bare[5:6]:
            assert axis.texts[0].get_text().startswith("this network has no")
        frequencies = panels(figure, views.index(0))[2]
        assert frequencies.yaxis.get_tick_params()["labelleft"]


@pytest.mark.parametrize("meaning", ["signed", "presence", "evidence"])
def test_low_may_mean_present_only_where_scores_are_signed(meaning):
    axis = panels(draw(view_of(inspection_of(3), frame_meaning=meaning)))[4]
    assert ("low may mean present" in title(axis)) == (meaning == "signed")


def test_padding_is_hatched():
    heard = view_of(inspection_of(3))
    padded = view_of(replace(inspection_of(3), duration_s=1.25))
    hatched = [patch for patch in panels(draw(padded))[0].patches if patch.get_hatch()]
    assert [patch.get_x() for patch in hatched] == [3.25]
    assert not [patch for patch in panels(draw(heard))[0].patches if patch.get_hatch()]


def test_scores_of_the_equations_may_leave_0_to_1():
    inspection = replace(
        inspection_of(3), frame=np.linspace(-3, 2, 3 * N_FRAMES, dtype="f4").reshape(3, -1)
    )
    assert score_scale([view_of(inspection)])[:2] == (-3, 2)
    assert score_scale([view_of(inspection_of(3))])[:2] == (0, 1)


@pytest.mark.parametrize("n_classes", [1, 41])
def test_any_number_of_classes_is_drawn(tmp_path, n_classes):
    plots.save(draw(view_of(inspection_of(n_classes))), tmp_path / "some.png")
    assert (tmp_path / "some.png").stat().st_size > 10_000


def test_names_are_drawn_as_they_are(tmp_path):
    names = ("$x^2$", "a_b\\c", "{%}")
    figure = draw(view_of(inspection_of(3, names=names)))
    plots.save(figure, tmp_path / "names.svg")
    assert sorted(names_of(panels(figure)[4])) == sorted(names)


@pytest.mark.parametrize(("ending", "begins"), [("png", b"\x89PNG"), ("pdf", b"%PDF"),
                                                ("svg", b"<?xml")])  # fmt: skip
def test_the_ending_decides_the_format_and_the_bytes_are_the_same_twice(tmp_path, ending, begins):
    paths = [tmp_path / f"{name}.{ending}" for name in "ab"]
    for path in paths:
        plots.save(draw(view_of(inspection_of(2))), path)
    assert paths[0].read_bytes().startswith(begins)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path):
    (tmp_path / "old.docx").write_text("old")
    with pytest.raises(SedmtlError, match=r"cannot write the picture .*old\.docx"):
        plots.save(draw(view_of(inspection_of(2))), tmp_path / "old.docx")
    assert (tmp_path / "old.docx").read_text() == "old"


@pytest.mark.parametrize("name", ["magma", "viridis"])
def test_colours_get_lighter_from_low_to_high(name):
    """By the luma of ITU-R BT.601, so that a map reads the same in greyscale."""
    luma = plots.colours(name) @ [0.299, 0.587, 0.114]
    assert (np.diff(luma) > -0.5).all()  # rounded to 8 bits
    assert luma[-1] - luma[0] > 150


def test_the_true_classes_are_shown_and_then_the_likeliest():
    inspection = replace(
        inspection_of(5, names="abcde"), clip=np.array([0.2, 0.9, 0.1, 0.5, 0.4], "f4")
    )
    view = view_of(inspection)
    assert choose_classes([view], None, 9) == ["b", "d", "e", "a", "c"]
    assert choose_classes([view], [Event("c", 0, 1)], 3) == ["b", "d", "c"]
    assert choose_classes([view], [Detection("a", 0, 1, 1.0), Event("z", 0, 1)], 2) == ["b", "a"]
    other = view_of(replace(inspection, clip=np.array([0.95, 0, 0, 0, 0], "f4")))
    assert choose_classes([view, other], None, 2) == ["a", "b"]


def test_classes_are_given_with_commas_or_one_by_one():
    known = ["rain", "dog, barking", "bell"]
    assert check_classes(["rain,bell"], known) == ["rain", "bell"]
    assert check_classes(["bell", "rain, bell"], known) == ["bell", "rain"]
    assert check_classes(["dog, barking"], known) == ["dog, barking"]
    assert check_classes([], known) == []


def test_an_unknown_class_is_named_with_the_nearest():
    with pytest.raises(SedmtlError, match="no class 'Sirn': of the network's 7 the nearest are "
                                          "siren, "):  # fmt: skip
        check_classes(["Sirn"], ["siren", "bird", "drip", "knock", "flute", "clap", "bell"])


def test_the_spectrum_scale_is_of_the_audio_and_not_of_its_padding():
    inspection = inspection_of(1)
    padded = inspection.logmel.copy()
    padded[10:] = -50
    view = view_of(replace(inspection, logmel=padded, duration_s=1.0))
    assert view.n_audio_frames == 10
    low, high = np.quantile(inspection.logmel[:10], [0.005, 0.995])
    assert spectrum_scale([view])[:2] == pytest.approx((low, high))


def test_scales_have_room_between_low_and_high_for_silence_too():
    silent = view_of(replace(inspection_of(1), logmel=np.zeros((N_FRAMES, N_MELS), "f4")))
    scale = spectrum_scale([silent])
    assert scale.high > scale.low


def test_the_weight_scale_reaches_the_highest_of_all():
    weights = [np.full((2, 4), 0.25, "f4"), np.eye(4, dtype="f4")]
    assert weight_scale(weights) == (0.0, 1.0, True)
    assert weight_scale([]).high > 0


def test_ticks_lie_at_their_frequency_and_apart():
    hz = np.geomspace(40, 16_000, 64).astype("f4")
    ticks = mel_ticks(hz, 0.1)
    assert [tick.text for tick in mel_ticks(hz, 0)] == [
        "10,000", "5,000", "2,000", "1,000", "500", "200", "100", "50",
    ]  # fmt: skip
    for tick in ticks:
        at_hz = np.interp(tick.place, np.arange(64), hz)
        assert at_hz == pytest.approx(float(tick.text.replace(",", "")), rel=1e-4)
    assert (np.diff([tick.place for tick in ticks]) <= -6.4).all()


def test_short_names_fit_and_stay_different():
    alike = [f"Very_long_name_of_an_ontology_{i:02d}_and_an_end" for i in range(20)]
    names = ["bell", "Acoustic_guitar_played_alone", *alike]
    short = short_names(names, 17)
    assert short["bell"] == "bell"
    assert short["Acoustic_guitar_played_alone"] == "Acoustic…ed_alone"
    assert short[alike[3]] == "…03_and_an_end"
    assert all(len(form) <= 17 for form in short.values())
    assert len(set(short.values())) == len(names)


def test_lanes_leave_room_for_events_and_names():
    rng = np.random.default_rng(0)
    onsets = rng.uniform(0, 9, 30)
    truth = [Event(f"event_{i}", on, on + rng.uniform(0.1, 2)) for i, on in enumerate(onsets)]
    lanes = lanes_of(truth, {event.label: event.label for event in truth}, (0, 10), 0.1)
    assert sorted(named.event for lane in lanes for named in lane) == sorted(truth)
    for lane in lanes:
        for named, after in pairwise(lane):
            assert named.end_s < min(after.event.onset_s, after.name_s)


def test_without_names_events_take_as_few_lanes_as_sound_at_once():
    truth = [Event("a", 0, 2), Event("b", 1, 3), Event("a", 2.5, 4), Event("c", 3.5, 5)]
    lanes = lanes_of(truth, {name: name for name in "abc"}, (0, 10))
    assert [[named.event.onset_s for named in lane] for lane in lanes] == [[0, 2.5], [1, 3.5]]
