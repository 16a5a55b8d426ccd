"""The picture: `plots` on made-up inspections, `sedmtl visualize` through the command line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import write_tone
from matplotlib.patches import Rectangle

from sedmtl import plots
from sedmtl.detector import Inspection
from sedmtl.events import Event

N_FRAMES, N_MELS = 30, 12


def inspection_of(n_classes, seed=0):
    rng = np.random.default_rng(seed)
    softmax = rng.dirichlet(np.ones(N_MELS), size=(n_classes, N_FRAMES)).astype(np.float32)
    return Inspection(
        classes=tuple(f"class_{i}" for i in range(n_classes)),
        clip=rng.random(n_classes).astype(np.float32),
        frame=rng.random((n_classes, N_FRAMES)).astype(np.float32),
        mel_attention=softmax,
        time_attention=rng.dirichlet(np.ones(N_FRAMES), size=n_classes).astype(np.float32),
        logmel=rng.normal(size=(N_FRAMES, N_MELS)).astype(np.float32),
        reconstruction=rng.random((N_FRAMES, N_MELS)).astype(np.float32),
        frame_edges_s=np.linspace(2, 5, N_FRAMES + 1),
        mel_hz=np.geomspace(60, 3500, N_MELS).astype(np.float32),
        duration_s=3.0,
    )


def panels(figure):
    """The axes whose title begins with a number, in its order."""
    titled = {
        axis.get_title(loc="left"): axis for axis in figure.axes if axis.get_title(loc="left")
    }
    return [titled[title] for title in sorted(titled)]


def outlines(axis):
    return [patch for patch in axis.patches if isinstance(patch, Rectangle) and not patch.fill]


def test_there_are_seven_panels_in_the_papers_order():
    names = [axis.get_title(loc="left") for axis in panels(plots.figure_3(inspection_of(5), "x"))]
    words = ("log-mel", "reconstruction", "mel bins", "mel bins", "first step", "over time",
             "in the clip")  # fmt: skip
    assert len(names) == 7
    for number, (name, word) in enumerate(zip(names, words, strict=True), start=1):
        assert name.startswith(str(number))
        assert word in name


def test_the_two_likeliest_classes_have_their_attention_shown():
    inspection = inspection_of(6)
    top = [name for name, _ in inspection.ranking()[:2]]
    names = [axis.get_title(loc="left") for axis in panels(plots.figure_3(inspection, "x"))[2:4]]
    for name, label in zip(names, top, strict=True):
        assert label in name


def test_panels_over_time_share_their_axis_in_seconds():
    for axis in panels(plots.figure_3(inspection_of(5), "x"))[:6]:
        assert axis.get_xlim() == pytest.approx((2, 5))
        assert axis.get_xlabel() == "time (s)"


def test_mel_bins_are_labelled_in_hertz_at_their_place():
    inspection = inspection_of(5)
    axis = panels(plots.figure_3(inspection, "x"))[0]
    labels = [int(label.get_text().replace(",", "")) for label in axis.get_yticklabels()]
    assert labels == [100, 200, 500, 1000, 2000]
    at_bins = np.interp(axis.get_yticks(), np.arange(N_MELS), inspection.mel_hz)
    np.testing.assert_allclose(at_bins, labels, rtol=1e-3)


def test_panels_that_are_compared_share_their_colours():
    axes = panels(plots.figure_3(inspection_of(5), "x"))
    limits = [axis.get_images()[0].get_clim() for axis in axes[:4]]
    assert limits[0] == limits[1]
    assert limits[2] == limits[3]


def test_the_maps_show_the_inspection_the_right_way_up():
    inspection = inspection_of(4)
    axes = panels(plots.figure_3(inspection, "x"))
    np.testing.assert_array_equal(axes[0].get_images()[0].get_array(), inspection.logmel.T)
    order = np.argsort(-inspection.clip)
    np.testing.assert_array_equal(axes[4].get_images()[0].get_array(), inspection.frame[order])
    names = [label.get_text() for label in axes[4].get_yticklabels()]
    assert names == [inspection.classes[i] for i in order]
    assert axes[4].yaxis_inverted()


def test_true_events_are_outlined_at_their_time():
    inspection = inspection_of(4)
    truth = [Event("class_1", 2.5, 3.5), Event("class_2", 4.0, 99.0), Event("class_0", 0.0, 1.0)]
    axes = panels(plots.figure_3(inspection, "x", truth))
    for number in (0, 1, 4, 5):
        boxes = outlines(axes[number])
        spans = [(box.get_x(), box.get_x() + box.get_width()) for box in boxes]
        np.testing.assert_allclose(spans, [(2.5, 3.5), (4.0, 5.0)])
    row = [name for name, _ in inspection.ranking()].index("class_1")
    assert outlines(axes[4])[0].get_y() == row - 0.5
    assert not outlines(axes[2])


def test_without_truth_nothing_is_outlined():
    assert not any(outlines(axis) for axis in panels(plots.figure_3(inspection_of(3), "x"))[:6])


def test_of_many_classes_the_likeliest_and_the_true_are_shown():
    inspection = inspection_of(41)
    least = inspection.ranking()[-1][0]
    figure = plots.figure_3(inspection, "x", [Event(least, 2.0, 3.0)])
    axis = panels(figure)[4]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert len(names) == plots.MAX_CLASSES
    assert least in names
    assert inspection.ranking()[0][0] in names
    assert "16 of 41 classes" in panels(figure)[6].get_title(loc="left")


@pytest.mark.parametrize("n_classes", [1, 2])
def test_few_classes_are_drawn_too(tmp_path, n_classes):
    plots.save(plots.figure_3(inspection_of(n_classes), "x"), tmp_path / "few.png")
    assert (tmp_path / "few.png").stat().st_size > 10_000


def test_scores_of_the_equations_may_leave_0_to_1():
    inspection = replace(inspection_of(3), frame=np.linspace(-3, 2, 90, dtype="f4").reshape(3, 30))
    axis = panels(plots.figure_3(inspection, "x"))[4]
    assert axis.get_images()[0].get_clim() == pytest.approx((-3, 2))


def test_visualize_writes_a_png_and_names_run_scores_and_path(trained, tmp_path):
    sound = write_tone(tmp_path / "my tone.flac", 900, 7.0, rate=44_100, channels=2)
    result = trained.run("visualize", sound)
    assert result.exit_code == 0, result.output
    picture = trained.work / "figures" / "my tone.png"
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert result.stdout.splitlines()[0] == "run 2apae_snr20_fold1_alpha0.001_seed0"
    assert result.stdout.splitlines()[-1] == str(picture)
    assert "tone_900" in result.stdout


@pytest.fixture
def drawn(monkeypatch):
    """Collects what visualize hands to the plot."""
    calls = []
    monkeypatch.setattr(
        plots, "figure_3", lambda *arguments: calls.append(arguments) or plots.Figure()
    )
    return calls


def test_strong_labels_of_a_mixture_are_known(trained, drawn, tmp_path):
    wav = trained.work / "mixtures" / "snr_20" / "mix_01.wav"
    trained.run("visualize", wav, "--out", tmp_path / "a.png")
    assert len(drawn[0][2]) == 3
    elsewhere = tmp_path / "mix_01.wav"
    elsewhere.write_bytes(wav.read_bytes())
    trained.run("visualize", elsewhere, "--out", tmp_path / "b.png")
    assert drawn[1][2] is None


def test_labels_are_those_of_the_store_that_the_mixture_is_of(trained, drawn, tmp_path):
    """A plan of later mixtures says nothing about this one."""
    plan = trained.work / "mixtures" / "plan.tsv"
    content = plan.read_text()
    plan.write_text("filename\tonset\toffset\tevent_label\nmix_01.wav\t0\t1\tother\n")
    try:
        wav = trained.work / "mixtures" / "snr_20" / "mix_01.wav"
        trained.run("visualize", wav, "--out", tmp_path / "a.png")
    finally:
        plan.write_text(content)
    rows = [line.split("\t") for line in content.splitlines() if line.startswith("mix_01.wav")]
    assert [event.label for event in drawn[0][2]] == [row[3] for row in rows]
    onsets_s = [event.onset_s for event in drawn[0][2]]
    assert onsets_s == pytest.approx([float(row[1]) for row in rows])


def test_strong_labels_of_ones_own_can_be_given(trained, drawn, tmp_path):
    sound = write_tone(tmp_path / "a.wav", 300, 1.0)
    labels = tmp_path / "labels.tsv"
    labels.write_text("filename\tonset\toffset\tevent_label\na.wav\t0.25\t0.5\ttone_300\n")
    trained.run("visualize", sound, "--labels", labels, "--out", tmp_path / "a.png")
    assert drawn[0][2] == [Event("tone_300", 0.25, 0.5)]


def test_bad_input_is_one_sentence(trained, tmp_path, one_sentence):
    sound = write_tone(tmp_path / "a.wav", 300, 1.0)
    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "labels.tsv").write_text("filename\tonset\toffset\tevent_label\nb.wav\t0\t1\tx\n")
    one_sentence(trained.run("visualize", tmp_path / "none.wav"), "no audio file", "none.wav")
    one_sentence(trained.run("visualize", tmp_path / "text.wav"), "cannot read", "text.wav")
    one_sentence(trained.run("visualize", sound, "--start", 2), "nothing starts at 2 s")
    one_sentence(trained.run("visualize", sound, "--run", "x"), "no run 'x'")
    one_sentence(
        trained.run("visualize", sound, "--labels", tmp_path / "labels.tsv"), "no row for a.wav"
    )
    one_sentence(
        trained.run("visualize", sound, "--out", tmp_path / "a.docx"), "cannot write the picture"
    )


def test_without_a_run_visualize_says_how_to_make_one(project, tmp_path, one_sentence):
    sound = write_tone(tmp_path / "a.wav", 300, 1.0)
    one_sentence(project.run("visualize", sound), "no finished run", "sedmtl train --fold 1")
