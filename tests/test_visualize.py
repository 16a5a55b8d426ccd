"""`sedmtl visualize` through the command line; `test_plots` and `test_page` test its outputs."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import Project, write_tone
from matplotlib.figure import Figure
from mutations import set_key

from sedmtl.events import Event
from sedmtl.report import figures as plots
from sedmtl.runtime.text import printable

pytestmark = pytest.mark.slow

RUN = "2apae_snr20_fold1_alpha0.001_seed0"


def test_visualize_writes_a_png_and_names_run_scores_and_path(trained, tmp_path):
    sound = write_tone(tmp_path / "my tone.flac", 900, 7.0, rate=44_100, channels=2)
    result = trained.run("visualize", sound)
    assert result.exit_code == 0, result.output
    picture = trained.work / "figures" / "my tone.png"
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert result.stdout.splitlines()[0] == f"run {RUN}"
    assert result.stdout.splitlines()[-1] == str(picture)
    assert "tone_900" in result.stdout


@pytest.fixture
def drawn(monkeypatch):
    """Collects the arguments that visualize passes to the plot."""
    calls = []
    monkeypatch.setattr(plots, "figure_3", lambda *arguments: calls.append(arguments) or Figure())
    return calls


def test_strong_labels_of_a_mixture_are_known(trained, drawn, tmp_path):
    wav = trained.work / "mixtures" / "snr_20" / "mix_01.wav"
    trained.run("visualize", wav, "--out", tmp_path / "a.png")
    assert len(drawn[0][3]) == 3
    elsewhere = tmp_path / "mix_01.wav"
    elsewhere.write_bytes(wav.read_bytes())
    trained.run("visualize", elsewhere, "--out", tmp_path / "b.png")
    assert drawn[1][3] is None


@pytest.mark.usefixtures("drawn")
def test_labels_that_look_like_those_of_another_recording_are_warned_of(trained, tmp_path):
    sound = write_tone(tmp_path / "a.wav", 900, 2.0)
    other = write_tone(tmp_path / "b.wav", 900, 2.0)
    labels = tmp_path / "b.txt"

    def warnings(end_s):
        labels.write_text(f"0.5\t{end_s}\ttone_900\n")
        result = trained.run("visualize", sound, "--labels", labels, "--out", tmp_path / "a.png")
        return [line for line in result.stderr.splitlines() if line.startswith("warning")]

    (named,) = warnings(2.05)
    assert named == f"warning: {labels} is named after {other}, but its labels are used for {sound}"
    other.unlink()
    assert warnings(2.05) == []
    (late,) = warnings(2.5)
    assert f"events up to 2.50 s, and {sound} ends at 2.00 s" in late


def test_labels_are_those_of_the_store_that_the_mixture_is_of(trained, drawn, tmp_path):
    """A plan made later for other mixtures does not apply."""
    plan = trained.work / "mixtures" / "plan.tsv"
    content = plan.read_text()
    plan.write_text("filename\tonset\toffset\tevent_label\nmix_01.wav\t0\t1\tother\n")
    try:
        wav = trained.work / "mixtures" / "snr_20" / "mix_01.wav"
        trained.run("visualize", wav, "--out", tmp_path / "a.png")
    finally:
        plan.write_text(content)
    rows = [line.split("\t") for line in content.splitlines() if line.startswith("mix_01.wav")]
    assert [event.label for event in drawn[0][3]] == [row[3] for row in rows]
    onsets_s = [event.onset_s for event in drawn[0][3]]
    assert onsets_s == pytest.approx([float(row[1]) for row in rows])


def test_a_fraction_in_an_snr_loses_no_labels(trained, drawn, tmp_path):
    mixtures = tmp_path / "work" / "mixtures"
    shutil.copytree(trained.work / "runs", tmp_path / "work" / "runs")
    (mixtures / "snr_2.5").mkdir(parents=True)
    shutil.copy(trained.work / "mixtures" / "snr_20.h5", mixtures / "snr_2.5.h5")
    wav = mixtures / "snr_2.5" / "mix_01.wav"
    shutil.copy(trained.work / "mixtures" / "snr_20" / "mix_01.wav", wav)
    shutil.copy(trained.folder / "data.yaml", tmp_path)
    result = Project(tmp_path).run("visualize", wav)
    assert len(drawn[0][3]) == 3
    picture = tmp_path / "work" / "figures" / "snr_2.5" / "mix_01.png"
    assert result.stdout.splitlines()[-1] == str(picture)


@pytest.mark.usefixtures("undrawn")
def test_mixtures_of_two_snrs_and_recordings_of_one_name_have_pictures_of_their_own(
    trained, tmp_path
):
    copy = Project(tmp_path)
    shutil.copytree(trained.work / "runs", copy.work / "runs")
    shutil.copy(trained.folder / "data.yaml", tmp_path)
    for snr in ("snr_0", "snr_20"):
        (copy.work / "mixtures" / snr).mkdir(parents=True)
        shutil.copy(trained.work / "mixtures" / "snr_20.h5", copy.work / "mixtures" / f"{snr}.h5")
        write_tone(copy.work / "mixtures" / snr / "mix_01.wav", 300, 1.0)
    sounds = [
        copy.work / "mixtures" / "snr_0" / "mix_01.wav",
        copy.work / "mixtures" / "snr_20" / "mix_01.wav",
        *(write_tone(tmp_path / folder / "clip.wav", 300, 1.0) for folder in "ab"),
        write_tone(tmp_path / "a" / "mine.wav", 300, 1.0),
    ]
    (copy.work / "figures").mkdir()
    (copy.work / "figures" / "mine.png").write_text("whose is this?")
    expected = ["snr_0/mix_01", "snr_20/mix_01", "clip", "clip-2", "mine-2"]
    for _ in range(2):
        for sound, name in zip(sounds, expected, strict=True):
            result = copy.run("visualize", sound)
            assert result.stdout.splitlines()[-1] == str(copy.work / "figures" / f"{name}.png")
    assert (copy.work / "figures" / "mine.png").read_text() == "whose is this?"


def test_own_strong_labels_can_be_given(trained, drawn, tmp_path):
    sound = write_tone(tmp_path / "a.wav", 300, 1.0)
    labels = tmp_path / "labels.tsv"
    labels.write_text("filename\tonset\toffset\tevent_label\na.wav\t0.25\t0.5\ttone_300\n")
    trained.run("visualize", sound, "--labels", labels, "--out", tmp_path / "a.png")
    assert drawn[0][3] == [Event("tone_300", 0.25, 0.5)]


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


@pytest.fixture(scope="module")
def two_runs(trained, tmp_path_factory):
    """A copy of the project with a second run, "bare": no decoder, no attention."""
    copy = Project(tmp_path_factory.mktemp("two_runs") / "project")
    shutil.copytree(trained.folder, copy.folder)
    result = copy.run(
        "train", "--fold", 1, "--model", "gap", "--width", 2, "--epochs", 1, "--batch-size", 6,
        "--precision", "float32", "--name", "bare",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return copy


def test_two_runs_are_drawn_side_by_side(two_runs, drawn, tmp_path):
    sound = write_tone(tmp_path / "a.wav", 300, 1.0)
    result = two_runs.run(
        "visualize", sound, "--run", RUN, "--compare", "bare", "--out", tmp_path / "a.png"
    )
    assert result.exit_code == 0, result.output
    ((views, *_),) = drawn
    assert [view.name for view in views] == [RUN, "bare"]
    assert [view.inspection.mel_attention is None for view in views] == [False, True]
    assert [view.no_decoder for view in views][1] == "this network has no decoder"


@pytest.mark.parametrize("asked", [["tone_900,tone_300"], ["tone_900", "tone_300"]])
def test_requested_classes_are_shown(trained, drawn, tmp_path, asked):
    sound = write_tone(tmp_path / "a.wav", 300, 1.0)
    options = [part for name in asked for part in ("--classes", name)]
    trained.run("visualize", sound, "--run", RUN, *options, "--out", tmp_path / "a.png")
    ((_, title, shown, _),) = drawn
    assert shown == ["tone_900", "tone_300"]
    assert title == "a.wav, 0 to 1 s; 2 of 3 classes"


@pytest.mark.usefixtures("undrawn")
def test_the_ending_of_the_file_decides_what_is_written(trained, tmp_path):
    sound = write_tone(tmp_path / "a.v2.wav", 300, 1.0)
    for name, begins in (("a.svg", b"<?xml"), ("a.html", b"<!DOCTYPE html>"), ("a", b"\x89PNG")):
        result = trained.run("visualize", sound, "--run", RUN, "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
        written = tmp_path / (name if "." in name else f"{name}.png")
        assert written.read_bytes().startswith(begins)
        assert result.stdout.splitlines()[-1] == str(written)


def page_of(trained, sound, *options):
    result = trained.run("visualize", sound, "--run", RUN, "--html", *options)
    assert result.exit_code == 0, result.output
    path = Path(result.stdout.splitlines()[-1])
    assert path.is_relative_to(trained.work / "figures")
    assert path.suffix == ".html"
    return path.read_text().replace("<wbr>", "")


def test_the_page_lists_the_true_events_of_a_mixture(trained):
    html = page_of(trained, trained.work / "mixtures" / "snr_20" / "mix_01.wav")
    plan = (trained.work / "mixtures" / "plan.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in plan if line.startswith("mix_01.wav")]
    assert len(rows) == 3
    for _, onset, offset, label in rows:
        assert f"<b>{label}</b> {float(onset):.2f} to {float(offset):.2f} s" in html


def test_times_on_the_page_are_those_of_the_file(trained, tmp_path):
    sound = write_tone(tmp_path / "long.wav", 900, 7.0)
    html = page_of(trained, sound, "--start", 4.5, "--classes", "tone_900")
    assert "4.5 to 7 s, network" in html  # a page continues to the end
    assert '"start_s":4.5' in html
    onsets_s = [float(text) for text in re.findall(r'data-onset="([\d.]+)"', html)]
    assert all(4.5 <= onset_s < 7 for onset_s in onsets_s)


@pytest.mark.parametrize(
    ("rate", "channels", "seconds", "level"),
    [(8_000, 1, 0.01, 0.1), (8_000, 1, 3, 0.0), (96_000, 6, 3, 0.1)],
    ids=["shorter than a frame", "silence", "96 kHz, 6 channels"],
)
def test_any_audio_is_shown(trained, tmp_path, rate, channels, seconds, level):
    noise = np.random.default_rng(0).normal(scale=level, size=(round(seconds * rate), channels))
    soundfile.write(tmp_path / "any.wav", noise, rate)
    html = page_of(trained, tmp_path / "any.wav")
    assert f"0 to {seconds:g} s" in html
    result = trained.run("visualize", tmp_path / "any.wav", "--out", tmp_path / "any.png")
    assert result.exit_code == 0, result.output


def test_what_a_network_lacks_is_reported(two_runs, tmp_path):
    sound = write_tone(tmp_path / "a.wav", 300, 1.0)
    result = two_runs.run("visualize", sound, "--run", "bare", "--out", tmp_path / "a.html")
    assert result.exit_code == 0, result.output
    html = (tmp_path / "a.html").read_text()
    assert "Left out: this network has no decoder." in html
    assert html.count("Left out: this network has none.") == 2


def test_an_impossible_option_is_one_sentence(trained, tmp_path, one_sentence):
    sound = write_tone(tmp_path / "a.wav", 300, 1.0)
    one_sentence(
        trained.run("visualize", sound, "--classes", "tone_30"),
        "no class 'tone_30'", "nearest are tone_300",
    )  # fmt: skip
    one_sentence(
        trained.run("visualize", sound, "--html", "--out", tmp_path / "a.png"), "end in .html"
    )
    one_sentence(
        trained.run("visualize", sound, "--html", "--compare", RUN), "a page shows one network"
    )
    one_sentence(trained.run("visualize", sound, "--compare", "x"), "no run 'x'")


def test_runs_of_other_classes_are_not_compared(two_runs, tmp_path, one_sentence):
    runs_dir = two_runs.work / "runs"
    shutil.copytree(runs_dir / "bare", runs_dir / "other")
    card = runs_dir / "other" / "model.json"
    change = set_key("classes", ["tone_2700", "tone_300", "tone_901"])
    card.write_bytes(change(card.read_bytes()))
    sound = write_tone(tmp_path / "a.wav", 300, 1.0)
    one_sentence(
        two_runs.run("visualize", sound, "--run", RUN, "--compare", "other"),
        "same classes", "found 3 and 3, of which 2",
    )  # fmt: skip


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", [b"\xff.wav", b"\x1b[31m.wav", b"[male]:bomb:.wav"])
@pytest.mark.parametrize("options", [["--html"], []])
def test_a_recording_may_have_any_name(trained, tmp_path, name, options):
    path = tmp_path / os.fsdecode(name)
    write_tone(tmp_path / "a.wav", 900, 2.0).rename(path)
    result = trained.run("visualize", path, *options)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output
    shown = result.stdout.splitlines()[-1]
    assert shown.startswith(printable(f"{trained.work / 'figures' / path.stem}"))
