"""A class has one spelling, whatever the source of its name."""

from __future__ import annotations

import pytest
from conftest import Project, write_noise, write_tone

from sedmtl.classes import class_name, warn_of_twins
from sedmtl.config import load_config
from sedmtl.data.clips import load_clips
from sedmtl.data.corpora import load_events
from sedmtl.inference.model_card import check_classes

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def configure(folder, corpus):
    (folder / "data.yaml").write_text(f"corpus: {{{corpus}}}\n")
    return load_config(folder / "data.yaml")


def test_a_name_is_composed_and_otherwise_left_alone():
    assert class_name(DECOMPOSED) == class_name(COMPOSED) == COMPOSED
    # Compatibility forms (NFKC) would change these.
    for name in ("Dog", "x²", "ﬁre", "", "[male] :bomb:"):
        assert class_name(name) == name


def test_two_spellings_of_a_folder_are_one_class(tmp_path):
    for name in (COMPOSED, DECOMPOSED, "dog"):
        write_noise(tmp_path / "events" / name / "a.wav", 0, 0.1)
    clips = load_events(configure(tmp_path, "events: {kind: folder, root: events}"))
    assert sorted(clip.label for clip in clips) == [COMPOSED, COMPOSED, "dog"]
    assert all(clip.path.is_file() for clip in clips)


def test_two_spellings_in_tables_are_one_class(tmp_path):
    (tmp_path / "events.csv").write_text(f"file,label\na.wav,{COMPOSED}\nb.wav,{DECOMPOSED}\n")
    clips = load_events(configure(tmp_path, "events: {kind: csv, csv: events.csv}"))
    assert {clip.label for clip in clips} == {COMPOSED}


def test_weak_and_strong_labels_may_spell_a_class_in_two_ways(tmp_path):
    (tmp_path / "clips.csv").write_text(
        f"filename,labels,fold\na.wav,{COMPOSED},1\nb.wav,{DECOMPOSED};dog,2\n"
    )
    (tmp_path / "strong.tsv").write_text(
        f"filename\tonset\toffset\tevent_label\na.wav\t0.1\t0.4\t{DECOMPOSED}\n"
    )
    table = load_clips(configure(tmp_path, "clips: {csv: clips.csv, strong: strong.tsv}"))
    assert table.classes == (COMPOSED, "dog")
    assert table.target.tolist() == [[1, 0], [1, 1]]
    assert table.events.label.tolist() == [0]


@pytest.mark.parametrize("known", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("asked", [[COMPOSED, "dog"], [f"dog,{DECOMPOSED}"]])
def test_a_class_is_chosen_in_either_spelling(asked, known):
    assert sorted(check_classes(asked, [known, "dog", "bell"])) == sorted([known, "dog"])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["Dog", "bell", "dog"], "the names of the classes 'Dog' and 'dog' are nearly the same"),
        (
            ["É", "é", "B", "b", "B"],
            "the names of the classes 'B' and 'b' (and 1 more such groups) are nearly",
        ),
        (
            ["Rooster", "bell", "roster"],
            "the names of the classes 'Rooster' and 'roster' are nearly the same",
        ),
        (["café", "cafe", "tea"], "the names of the classes 'cafe' and 'café' are nearly the same"),
        (
            ["dog_bark", "dog bark"],
            "the names of the classes 'dog bark' and 'dog_bark' are nearly the same",
        ),
        (["dog", "dig", "site 1", "site 2", "speaker10", "speaker11"], ""),
    ],
)
def test_classes_whose_names_are_nearly_the_same_are_warned_of(capsys, names, said):
    warn_of_twins(names)
    warning = capsys.readouterr().err
    assert (f"warning: {said}" in warning) if said else not warning


def test_mix_warns_of_twins_once_and_keeps_them_apart(project):
    for n in range(8):
        write_tone(project.folder / "events" / "Tone_300" / f"{n}.wav", 100 + n, 0.5)
    result = project.run("mix", "--snr", 20)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("nearly the same") == 1
    assert (
        'classes: ["Tone_300", "tone_2700", "tone_300"'
        in (project.work / "mixtures" / "plan.yaml").read_text()
    )


def test_features_of_clips_warn_of_twins_once(tmp_path):
    clips = Project(tmp_path)
    (tmp_path / "data.yaml").write_text(
        "corpus: {clips: {csv: clips.csv}}\n"
        "mixing: {sample_rate: 8000, duration_s: 1, folds: 2}\n"
        "features: {window: 256, hop: 128, n_mels: 16, f_min: 50, f_max: 4000}\n"
    )
    (tmp_path / "clips.csv").write_text("filename,labels\na.wav,Dog\nb.wav,dog\n")
    for name in ("a.wav", "b.wav"):
        write_noise(tmp_path / name, 0, 1.0)
    result = clips.run("features")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("nearly the same") == 1
