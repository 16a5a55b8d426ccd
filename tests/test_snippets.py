"""`sedmtl predict --snippets`: events as sound files."""

from __future__ import annotations

import io
import re
import tracemalloc

import numpy as np
import pytest
import soundfile
from conftest import visible, write_tone

from sedmtl.data import audio
from sedmtl.events import Detection
from sedmtl.inference.prediction import Prediction
from sedmtl.inference.snippets import LONGEST_S, Snippets, write_snippets
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.outputs import Outputs

EACH = Snippets()


def read(content):
    return soundfile.read(io.BytesIO(content), dtype="int32", always_2d=True)


# Excerpts.


def excerpt(path, start_s, duration_s, ending):
    (content,) = audio.excerpts(path, [audio.Part(start_s, duration_s)], ending)
    return content


@pytest.mark.parametrize("ending", ["wav", "flac"])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24"])
def test_an_excerpt_has_the_exact_samples_of_the_file(tmp_path, subtype, ending):
    path = tmp_path / "a.wav"
    noise = np.random.default_rng(0).uniform(-1, 1, (3000, 2))
    soundfile.write(path, noise, 8000, subtype=subtype)
    content = excerpt(path, 0.1, 0.2, ending)
    samples, rate = read(content)
    assert rate == 8000
    np.testing.assert_array_equal(samples, read(path.read_bytes())[0][800:2400])
    info = soundfile.info(io.BytesIO(content))
    assert info.format == ending.upper()
    assert info.subtype == ("PCM_24" if subtype == "PCM_24" else "PCM_16")


def test_an_excerpt_beyond_the_file_is_cut_at_its_ends(tmp_path):
    path = write_tone(tmp_path / "a.wav", 300, 1.0)
    whole, _ = read(path.read_bytes())
    for start_s, duration_s, part in [(-0.5, 0.75, whole[:2000]), (0.75, 9.0, whole[6000:])]:
        np.testing.assert_array_equal(read(excerpt(path, start_s, duration_s, "wav"))[0], part)
    with pytest.raises(SedmtlError, match=r"a\.wav is 1\.00 s long: nothing is at 1\.50 s"):
        excerpt(path, 1.5, 1.0, "wav")


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3"])
def test_excerpts_of_a_file_are_its_samples_and_each_sample_is_decoded_once(
    tmp_path, monkeypatch, kind
):
    """Excerpts: one within another, two that overlap, one after a gap, one at the file's end."""
    if kind not in soundfile.available_formats():
        pytest.skip("libsndfile lacks it")
    path, rate = tmp_path / f"a.{kind.lower()}", 16_000
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, 10 * rate), rate, format=kind)
    whole, n_read, decode = soundfile.read(path)[0], [], audio.files.Forward.read

    def counted(file, *args, **how):
        samples = decode(file, *args, **how)
        n_read.append(len(samples))
        return samples

    monkeypatch.setattr(audio.files.Forward, "read", counted)
    parts = [audio.Part(*each) for each in [(-1, 2), (0.5, 3), (1, 1), (3, 1), (7, 1), (9.5, 9)]]
    found = list(audio.excerpts(path, parts, "wav"))
    for content, (start_s, duration_s) in zip(found, parts, strict=True):
        expected = whole[max(0, int(start_s * rate)) : int((start_s + duration_s) * rate)]
        np.testing.assert_allclose(soundfile.read(io.BytesIO(content))[0], expected, atol=2**-15)
    assert sum(n_read) == (10 if kind == "MP3" else 4 + 1 + 0.5) * rate


def test_a_part_that_cannot_be_read_leaves_the_others(sound, tmp_path):
    """The file is 5 s long."""
    events = [Detection("Owl", onset_s, onset_s + 0.5, 0.5) for onset_s in (1.0, 8.0, 9.0)]
    with pytest.raises(SedmtlError, match=r"nothing is at 8\.00 s \(and 1 more snippet\)"):
        cut(tmp_path, sound, events, Snippets(0.0))
    assert visible(tmp_path) == {"snippets/Owl/0.500_a_1.00_Owl.wav"}


def test_floats_beyond_full_scale_are_made_quieter_not_clipped(tmp_path):
    path = tmp_path / "a.wav"
    wave = 3 * np.sin(np.arange(800))
    soundfile.write(path, wave, 8000, subtype="FLOAT")
    samples, _ = read(excerpt(path, 0, 1, "wav"))
    np.testing.assert_allclose(samples[:, 0] / 2**31, wave / np.abs(wave).max(), atol=2**-22)


def test_a_file_that_flac_cannot_hold_is_one_sentence(tmp_path):
    path = write_tone(tmp_path / "a.wav", 300, 0.1, channels=9)
    with pytest.raises(SedmtlError, match="FLAC cannot hold 9 channels at 8000 Hz"):
        excerpt(path, 0, 1, "flac")


# Selection and names.


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_tone(tmp_path_factory.mktemp("sound") / "a.wav", 900, 5.0)


def cut(folder, sound, events, how=EACH, name="a.wav"):
    """Write snippets; returns those in the folder afterwards."""
    write_snippets(Outputs(folder), [(sound, Prediction(5.0, events, filename=name))], how)
    return visible(folder)


def test_a_snippet_is_named_by_score_file_onset_and_class(sound, tmp_path):
    owl, fox = Detection("Owl", 1.5, 2.0, 0.91234), Detection("Fox", 0.25, 1.0, 1.0)
    assert cut(tmp_path, sound, [owl, fox], name="day 1/flöte.flac") == {
        "snippets/Owl/0.912_day 1_flöte_1.50_Owl.wav",
        "snippets/Fox/1.000_day 1_flöte_0.25_Fox.wav",
    }
    seconds = {p.parent.name: audio.probe(p).duration_s for p in tmp_path.rglob("*.wav")}
    assert seconds == {"Owl": 2.5, "Fox": 2.0}  # with a second on both sides, within the file


def test_the_highest_scoring_events_of_each_class_are_cut(sound, tmp_path):
    events = [Detection(label, float(k), k + 0.5, k / 10) for k in range(5) for label in ("x", "y")]
    found = cut(tmp_path, sound, events, Snippets(0.0, 2, "flac"))
    assert sorted(found) == [
        f"snippets/{label}/0.{k}00_a_{k}.00_{label}.flac" for label in "xy" for k in (3, 4)
    ]


@pytest.mark.parametrize(
    "label", ["../../x", "..", "a/b", "C:\\x", "a\0b", "", " . ", "n" * 300, "犬" * 100]
)
def test_no_name_leaves_the_folder_or_is_too_long(sound, tmp_path, label):
    events = [Detection(label, 1.0, 1.5, 0.5)] * 2  # would have the same name
    found = cut(tmp_path / "out", sound, events, name=f"../x/{'y' * 300}\udcff.wav")
    assert len(found) == 2
    assert all(re.fullmatch(r"snippets/[^/]+/0\.500_[^/]+", name) for name in found)
    assert all(len(name.split("/")[-1].encode()) < 240 for name in found)


def test_outdated_snippets_are_deleted_and_the_users_stay(sound, tmp_path):
    owl, fox, hare = (Detection(label, 1.0, 2.0, 0.5) for label in ("Owl", "Fox", "Hare"))
    assert len(cut(tmp_path, sound, [owl, fox, hare])) == 3
    (tmp_path / "snippets" / "notes.txt").write_text("mine")
    (edited,) = (tmp_path / "snippets" / "Fox").iterdir()
    edited.write_bytes(b"trimmed")
    assert cut(tmp_path, sound, [owl]) == {
        "snippets/notes.txt",
        "snippets/Owl/0.500_a_1.00_Owl.wav",
        "snippets/Fox/0.500_a_1.00_Fox.wav",
    }
    with pytest.raises(SedmtlError, match=r"changed since: .*; all else is written"):
        cut(tmp_path, sound, [fox, hare])
    assert edited.read_bytes() == b"trimmed"
    assert (tmp_path / "snippets" / "Hare" / "0.500_a_1.00_Hare.wav").is_file()


def test_memory_does_not_grow_with_an_event_of_hours(tmp_path):
    path = tmp_path / "a.wav"
    with soundfile.SoundFile(path, "w", 1000, 1) as file:
        for _ in range(120):
            file.write(np.full(60_000, 0.1))
    tracemalloc.start()
    try:
        cut(tmp_path / "out", path, [Detection("rain", 60.0, 7200.0, 0.5)], Snippets(0.0))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    (snippet,) = (tmp_path / "out").rglob("*.wav")
    assert audio.probe(snippet).duration_s == LONGEST_S
    assert most < 3e6  # 60,000 samples; the event has 7 million


# The command.


def test_predict_cuts_the_events_that_it_finds(trained, sound, tmp_path):
    options = ("--out", tmp_path, "--threshold", 0.2, "--median", 0, "--snippets")
    result = trained.run("predict", sound, *options, "--context", 0)
    assert result.exit_code == 0, result.output
    rows = (tmp_path / "events.tsv").read_text().splitlines()[1:]
    found = {name for name in visible(tmp_path) if name.startswith("snippets/")}
    assert len(found) == len(rows) > 0
    assert f"{len(rows)} snippets in" in result.stderr
    again = trained.run("predict", sound, *options, "--per-class", 1, "--snippet-format", "flac")
    assert "1 of 1 recordings are already done" in again.stderr
    labels = {row.split("\t")[3] for row in rows}
    left = {name for name in visible(tmp_path) if name.startswith("snippets/")}
    assert {name.split("/")[1] for name in left} == labels
    assert len(left) == len(labels)
    assert all(name.endswith(".flac") for name in left)


@pytest.mark.parametrize("option", [("--context", 1), ("--per-class", 1)])
def test_options_of_snippets_need_them(trained, sound, option):
    result = trained.run("predict", sound, *option)
    assert result.exit_code == 2
    assert "need --snippets" in result.stderr
