"""The user's weakly labelled recordings: `corpus.clips`, its table and feature store."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from conftest import Project, invoke, write_noise, write_tone

from sedmtl.config import load_config
from sedmtl.data.clips import load_clips
from sedmtl.features import extraction
from sedmtl.logmel import LogMel
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.lock import folder_lock
from sedmtl.store import Store

DATA_YAML = """\
corpus: {clips: {csv: clips.csv, root: recordings}}
mixing: {sample_rate: 8000, duration_s: 1, folds: 2}
features: {window: 256, hop: 128, n_mels: 16, f_min: 50, f_max: 4000}
"""
ROWS = """\
filename,labels
a.wav,Dog bark; Cat
b.wav,Cat
c.wav,
d.wav,Dog bark
"""


@pytest.fixture
def clips(tmp_path):
    """A project of four recordings, of 0.5, 1, 0.9 and 1 s."""
    (tmp_path / "data.yaml").write_text(DATA_YAML)
    (tmp_path / "clips.csv").write_text(ROWS)
    for name, hz, seconds in (("a", 300, 0.5), ("b", 500, 1.0), ("c", 700, 0.9), ("d", 900, 1.0)):
        write_tone(tmp_path / "recordings" / f"{name}.wav", hz, seconds)
    return Project(tmp_path)


def table_of(clips, rows=None):
    if rows is not None:
        (clips.folder / "clips.csv").write_text(rows, encoding="utf-8")
    return load_clips(load_config(clips.folder / "data.yaml"))


def make_features(clips):
    result = clips.run("features")
    assert result.exit_code == 0, result.output
    return result


def read_features(clips):
    with Store(clips.work / "features" / "clips.h5", "logmel") as store:
        return store.read(range(len(store))), store.clips, store.classes


def test_labels_are_separated_by_semicolons_and_may_hold_spaces(clips):
    table = table_of(clips, "filename,labels\na.wav, Dog bark ;Cat;\nb.wav,Cat\n")
    assert table.classes == ("Cat", "Dog bark")
    np.testing.assert_array_equal(table.target, [[1, 1], [1, 0]])


def test_a_recording_without_labels_holds_none_of_the_classes(clips):
    table = table_of(clips)
    assert list(table.name) == ["a.wav", "b.wav", "c.wav", "d.wav"]
    np.testing.assert_array_equal(table.target, [[1, 1], [1, 0], [0, 0], [0, 1]])


def test_given_folds_are_kept(clips):
    rows = "filename,labels,fold\nb.wav,Dog,3\na.wav,Cat,1\nc.wav,Cat,255\n"
    np.testing.assert_array_equal(table_of(clips, rows).fold, [3, 1, 255])


def with_negatives(clips, rows, folder="recordings/noise"):
    data_yaml = clips.folder / "data.yaml"
    data_yaml.write_text(DATA_YAML.replace("recordings}", f"recordings, negatives: {folder}}}"))
    return table_of(clips, rows)


@pytest.mark.parametrize("column", ["", ",fold"])
def test_a_folder_of_negatives_holds_none_of_the_classes(clips, column):
    for n in range(8):
        write_noise(clips.folder / "recordings" / "noise" / "far" / f"{n}.wav", n, 0.2)
    fold = ",2" if column else ""
    rows = f"filename,labels{column}\na.wav,Cat{fold}\n./noise/far/0.wav,Dog{fold}\n"
    table = with_negatives(clips, rows + (f"d.wav,Dog{',3' if column else ''}\n"))
    assert list(table.name)[3:] == [f"noise/far/{n}.wav" for n in range(1, 8)]
    assert table.target.sum(axis=1).tolist() == [1, 1, 1, *[0] * 7]
    assert all(path.is_file() for path in table.paths)
    assert set(table.fold) <= ({2, 3} if column else {1, 2})
    assert len(set(table.fold[3:])) == 2


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("elsewhere", "a folder elsewhere"),
        ("recordings/none", "no such folder; paths in data.yaml are relative to that file"),
        ("recordings/empty", "no audio in it"),
    ],
)
def test_negatives_elsewhere_or_without_audio_are_refused(clips, folder, found):
    write_noise(clips.folder / "elsewhere" / "a.wav", 0, 0.2)
    (clips.folder / "recordings" / "empty").mkdir()
    with pytest.raises(SedmtlError, match=rf"corpus\.clips\.negatives: .*{found}"):
        with_negatives(clips, ROWS, folder)


@pytest.mark.parametrize("header", ["filename,labels", "filename,labels,fold"])
def test_folds_without_a_column_are_about_even_and_follow_from_the_seed(clips, header):
    rows = "\n".join([header, *(f"{n}.wav,Dog" for n in range(100))])
    first = table_of(clips, rows).fold
    assert np.bincount(first)[1:] == pytest.approx([50, 50], abs=20)
    np.testing.assert_array_equal(table_of(clips, rows).fold, first)
    data_yaml = clips.folder / "data.yaml"
    data_yaml.write_text(DATA_YAML.replace("folds: 2", "folds: 2, seed: 1"))
    assert not np.array_equal(table_of(clips, rows).fold, first)


def test_a_drawn_fold_belongs_to_the_name_not_to_the_row(clips):
    lines = [f"{n}.wav,Dog" for n in range(10)]
    forth = table_of(clips, "\n".join(["filename,labels", *lines]))
    back = table_of(clips, "\n".join(["filename,labels", *reversed(lines)]))
    assert dict(zip(forth.name, forth.fold, strict=True)) == dict(
        zip(back.name, back.fold, strict=True)
    )


GROUPS = "\n".join(
    [
        "filename,labels,recording",
        *(f"{n}.wav,{'Cat' if n % 3 else 'Dog'},r{n // 4}" for n in range(160)),
    ]
)


def reserved_of(table):
    return {name for name, flag in zip(table.name, table.validation, strict=True) if flag}


def test_a_recording_keeps_its_clips_in_one_fold_and_out_of_either_training_or_validation(clips):
    table = table_of(clips, GROUPS)
    recording = np.arange(160) // 4
    for number in range(40):
        assert len(set(table.fold[recording == number])) == 1
        assert len(set(table.validation[recording == number])) == 1
    for fold in (1, 2):
        assert 0 < table.validation[table.fold == fold].mean() <= 0.3


@pytest.mark.parametrize("n_folds", [2, 3])
def test_given_folds_without_recordings_serve_as_validation_whole_if_there_are_three(
    clips, n_folds
):
    rows = [f"{n}.wav,Dog,{n % n_folds + 1}" for n in range(60)]
    table = table_of(clips, "\n".join(["filename,labels,fold", *rows]))
    assert table.validation.any() == (n_folds == 2)


def test_given_folds_and_recordings_reserve_recordings(clips):
    rows = [f"{n}.wav,Dog,{n // 20 + 1},r{n // 2}" for n in range(60)]
    table = table_of(clips, "\n".join(["filename,labels,fold,recording", *rows]))
    assert reserved_of(table)
    assert np.array_equal(table.validation[::2], table.validation[1::2])


def test_without_columns_validation_is_drawn_by_class_and_follows_from_the_seed(clips):
    rows = "\n".join(
        ["filename,labels", *(f"{n}.wav,{'Cat' if n < 40 else 'Dog'}" for n in range(400))]
    )
    table = table_of(clips, rows)
    assert table.validation[:40].sum() == pytest.approx(4.8, abs=1)
    assert table.validation[40:].sum() == pytest.approx(43.2, abs=1)
    assert reserved_of(table_of(clips, rows)) == reserved_of(table)


def test_a_recording_in_two_folds_is_refused(clips, one_sentence):
    rows = "filename,labels,fold,recording\na.wav,Dog,1,barn\nb.wav,Dog,2,barn\n"
    (clips.folder / "clips.csv").write_text(rows)
    one_sentence(clips.run("features"), "each recording in one fold", "'barn' in folds 1 and 2")


def test_without_a_root_files_lie_beside_the_table(clips):
    (clips.folder / "data.yaml").write_text(DATA_YAML.replace(", root: recordings", ""))
    assert table_of(clips).paths[0] == clips.folder / "a.wav"


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        ("file,labels\na.wav,Dog\n", ["missing: filename", "found: file, labels"]),
        ("filename,labels\na.wav,Dog\na.wav,Cat\n", ["each filename once", "a.wav 2 times"]),
        ("filename,labels\n,Dog\n", ["each row needs a filename, missing in 1"]),
        ("filename,labels\na.wav,\nb.wav, ; \n", ["labels no recording", "separated by ';'"]),
        ("filename,labels\na.wav,Dog,Cat\n", ["line 2", "expected 2 values", "'Cat'"]),
        (
            "filename,labels,fold\na.wav,Dog,1\nb.wav,Dog,\n",
            ["expected a fold for each recording, found none for 1 of 2", "sedmtl folds"],
        ),
        ("filename,labels,fold\na.wav,Dog,0\n", ["from 1 to 255, found '0'"]),
        ("filename,labels,fold\na.wav,Dog,256\n", ["from 1 to 255, found '256'"]),
        ("filename,labels,fold\na.wav,Dog,train\n", ["from 1 to 255, found 'train'"]),
        ("filename,labels,fold\na.wav,Dog,1.5\n", ["from 1 to 255, found '1.5'"]),
    ],
)
def test_a_bad_table_fails_in_one_sentence(clips, one_sentence, rows, parts):
    (clips.folder / "clips.csv").write_text(rows)
    one_sentence(clips.run("features"), "clips.csv", *parts)
    assert not clips.work.exists()


def test_a_missing_table_fails_in_one_sentence(clips, one_sentence):
    (clips.folder / "clips.csv").unlink()
    one_sentence(clips.run("features"), "no table", "clips.csv", "data.yaml")


def test_no_clips_and_no_mixtures_leave_nothing_to_do(clips, one_sentence):
    (clips.folder / "data.yaml").write_text("mixing: {seed: 1}")
    with pytest.raises(SedmtlError, match=r"names no corpus\.clips"):
        table_of(clips)
    one_sentence(clips.run("features"), "no store in", "sedmtl mix", "names no corpus.clips")


def test_missing_and_broken_recordings_are_named_and_counted(clips, one_sentence):
    missing = clips.folder / "recordings" / "a.wav"
    missing.unlink()
    (clips.folder / "recordings" / "d.wav").write_text("no audio")
    strict = clips.run("features", "--strict")
    one_sentence(strict, f"no audio file {missing}", "and 1 more of 4 files")
    assert not (clips.work / "features").exists()


def test_recordings_that_cannot_be_read_are_left_out_and_named_at_the_end(clips, one_sentence):
    folder = clips.folder / "recordings"
    (folder / "a.wav").unlink()
    soundfile.write(folder / "b.wav", np.full(8000, np.nan), 8000, subtype="FLOAT")
    result = make_features(clips)
    missing, not_finite = result.stderr.splitlines()[-2:]
    assert missing.startswith(f"left out: no audio file {folder / 'a.wav'}")
    assert not_finite.startswith(f"left out: {folder / 'b.wav'} holds NaN or infinity at 0.000 s")
    _, table, _ = read_features(clips)
    assert list(table.name) == ["c.wav", "d.wav"]
    one_sentence(clips.run("features", "--strict"), "no audio file")
    for name in ("c.wav", "d.wav"):
        (folder / name).unlink()
    one_sentence(clips.run("features"), "no audio file", "and 3 more of 4 files")


def test_features_and_check_print_the_table_of_classes(clips):
    made = make_features(clips)
    in_features = [line.split() for line in made.stderr.splitlines() if line.startswith("Cat ")]
    assert in_features[0][:3] == ["Cat", "2", "2"]  # 0.5 and 1 s, rounded
    checked = invoke(["check", str(clips.work)])
    assert checked.exit_code == 0, checked.output
    in_check = [line.split() for line in checked.stdout.splitlines() if line.startswith("Cat ")]
    assert in_check == [["Cat", "2", *in_features[0][3:]]]


def test_known_unreadable_recordings_are_not_retried(clips, monkeypatch):
    """Existing stores stay and interrupted ones resume: no call retries all files."""
    path = clips.folder / "recordings" / "b.wav"
    soundfile.write(path, np.full(8000, np.nan), 8000, subtype="FLOAT")
    make_features(clips)
    store = clips.work / "features" / "clips.h5"
    written = store.stat().st_mtime_ns
    monkeypatch.setattr(extraction, "undecodable", None)  # fails if called
    again = make_features(clips)
    assert store.stat().st_mtime_ns == written
    assert "rebuilding" not in again.stderr
    assert f"left out: {path} holds NaN" in again.stderr


def test_an_error_unrelated_to_a_recording_decodes_nothing(clips, one_sentence, monkeypatch):
    monkeypatch.setattr(extraction, "undecodable", None)
    with folder_lock(clips.work / "features", "another command"):
        one_sentence(clips.run("features"), "in use")


def test_too_few_recordings_for_folds_by_name_are_warned_of(clips):
    make_features(clips)
    rows = ["filename,labels", "a.wav,Cat", "b.wav,Cat"]
    assert "'sedmtl folds' spreads them evenly" not in make_features(clips).stderr
    (clips.folder / "data.yaml").write_text(DATA_YAML.replace("folds: 2", "folds: 60"))
    (clips.folder / "clips.csv").write_text("\n".join(rows))
    assert "'sedmtl folds' spreads them evenly" in clips.run("features").stderr


def test_a_repaired_recording_is_added(clips):
    path = clips.folder / "recordings" / "b.wav"
    whole = path.read_bytes()
    path.write_bytes(b"")
    make_features(clips)
    assert list(read_features(clips)[1].name) == ["a.wav", "c.wav", "d.wav"]
    path.write_bytes(whole)
    assert "left out" not in make_features(clips).stderr
    assert list(read_features(clips)[1].name) == ["a.wav", "b.wav", "c.wav", "d.wav"]


def test_with_strict_a_recording_with_nan_is_named(clips, one_sentence):
    path = clips.folder / "recordings" / "b.wav"
    soundfile.write(path, np.full(8000, np.nan), 8000, subtype="FLOAT")
    one_sentence(clips.run("features", "--strict"), str(path), "NaN or infinity at 0.000 s")
    assert not (clips.work / "features" / "clips.h5").exists()


def test_the_store_holds_the_table_and_padding_is_reported(clips):
    result = make_features(clips)
    assert result.stdout.strip() == str(clips.work / "features" / "clips.h5")
    said = "4 recordings in 4 windows of 1 s: 0 have several, 2 are padded with silence"
    assert said in " ".join(result.stderr.split())
    logmel, table, classes = read_features(clips)
    assert logmel.shape == (4, 1 + (8000 - 256) // 128, 16)
    assert np.isfinite(logmel).all()
    assert classes == ("Cat", "Dog bark")
    np.testing.assert_array_equal(table.target, table_of(clips).target)
    np.testing.assert_array_equal(table.fold, table_of(clips).fold)
    assert list(table.name) == ["a.wav", "b.wav", "c.wav", "d.wav"]
    assert len(table.events.source) == 0


def test_features_are_those_of_the_recording_padded_and_at_half_its_peak(clips):
    make_features(clips)
    logmel, _, _ = read_features(clips)
    transform = LogMel(8000, window=256, hop=128, n_mels=16, f_min=50, f_max=4000)
    for row, name in enumerate("abcd"):
        wave, _ = soundfile.read(clips.folder / "recordings" / f"{name}.wav", dtype="float32")
        clip = np.zeros(8000, np.float32)
        clip[: len(wave)] = wave
        clip *= 0.5 / np.abs(clip).max()
        expected = transform(torch.from_numpy(clip[None]))[0]
        # Rounding the gain changes a log by 1e-7 of the signal, more near silence.
        np.testing.assert_allclose(logmel[row], expected, atol=1e-3)


def test_the_level_channels_and_rate_of_a_recording_do_not_change_its_features(clips):
    names = ("loud", "quiet", "stereo")
    wave = np.random.default_rng(0).normal(size=8000).clip(-4, 4) / 4
    folder = clips.folder / "recordings"
    soundfile.write(folder / "loud.wav", wave, 8000, subtype="FLOAT")
    soundfile.write(folder / "quiet.wav", wave / 1024, 8000, subtype="FLOAT")
    soundfile.write(folder / "stereo.wav", np.stack([wave, 0 * wave], 1), 8000, subtype="FLOAT")
    (clips.folder / "clips.csv").write_text(
        "\n".join(["filename,labels", *(f"{name}.wav,Dog" for name in names)])
    )
    make_features(clips)
    logmel, _, _ = read_features(clips)
    # All three gains are powers of two, so every bit must agree.
    np.testing.assert_array_equal(logmel[1], logmel[0])
    np.testing.assert_array_equal(logmel[2], logmel[0])


def test_a_silent_recording_has_the_floor_as_its_features(clips):
    soundfile.write(clips.folder / "recordings" / "c.wav", np.zeros(8000), 8000)
    make_features(clips)
    logmel, _, _ = read_features(clips)
    np.testing.assert_allclose(logmel[2], np.log(1e-8), rtol=1e-6)


def test_recordings_of_other_rates_are_resampled(clips):
    write_noise(clips.folder / "recordings" / "b.wav", 1, 1.0, rate=48_000)
    make_features(clips)
    logmel, _, _ = read_features(clips)
    assert logmel.shape[0] == 4
    assert logmel[1].std() > 0


def test_the_bytes_do_not_depend_on_the_number_of_workers(clips):
    path = clips.work / "features" / "clips.h5"
    made = []
    for n_workers in (1, 3):
        path.unlink(missing_ok=True)
        assert clips.run("features", "--workers", n_workers).exit_code == 0
        made.append(path.read_bytes())
    assert made[0] == made[1]


def test_new_labels_and_new_recordings_rebuild_the_store(clips):
    make_features(clips)
    _, before, _ = read_features(clips)
    table_of(clips, ROWS.replace("c.wav,", "c.wav,Cat"))
    make_features(clips)
    _, after, _ = read_features(clips)
    assert before.target[2].tolist() == [0, 0]
    assert after.target[2].tolist() == [1, 0]
    write_tone(clips.folder / "recordings" / "b.wav", 2000, 0.8)
    old, _, _ = read_features(clips)
    make_features(clips)
    new, _, _ = read_features(clips)
    assert not np.array_equal(new[1], old[1])
    np.testing.assert_array_equal(new[0], old[0])


STRONG = """\
filename\tonset\toffset\tevent_label
d.wav\t0.2\t1.6\tDog bark
a.wav\t0.1\t0.3\tCat
a.wav\t0.25\t0.4\tDog bark
"""


def with_strong(clips, text):
    settings = DATA_YAML.replace("root: recordings}", "root: recordings, strong: strong.tsv}")
    (clips.folder / "data.yaml").write_text(settings)
    (clips.folder / "strong.tsv").write_text(text)
    return clips


def test_strong_labels_are_kept_in_the_store_and_cut_to_the_recording(clips):
    make_features(with_strong(clips, STRONG))
    _, table, classes = read_features(clips)
    events = table.events
    found = [
        (table.name[clip], classes[label], onset_s, offset_s)
        for clip, label, onset_s, offset_s in zip(
            events.mixture, events.label,
            events.onset_s.round(6).tolist(), events.offset_s.round(6).tolist(), strict=True,
        )
    ]  # fmt: skip
    assert [(name, label) for name, label, *_ in found] == [
        ("a.wav", "Cat"), ("a.wav", "Dog bark"), ("d.wav", "Dog bark"),
    ]  # fmt: skip
    assert found[2][2:] == pytest.approx((0.2, 1.0), abs=1e-6)


def strong_of(clips, rows, durations_s):
    header = "filename\tonset\toffset\tevent_label"
    with_strong(clips, "\n".join([header, *rows, ""]))
    return table_of(clips).within(durations_s).events


def test_strong_labels_are_cut_where_their_recording_ends(clips, capsys):
    rows = ["a.wav\t0.1\t0.9\tCat", "b.wav\t0.1\t0.9\tCat"]
    events = strong_of(clips, rows, [0.5, 1.0, 1.5, 1.0])
    np.testing.assert_allclose(events.offset_s, [0.5, 0.9])
    np.testing.assert_allclose(events.onset_s, [0.1, 0.1])
    assert "1 strong labels end after their recordings" in " ".join(capsys.readouterr().err.split())


def test_strong_labels_that_begin_after_their_recording_are_refused(clips):
    rows = ["b.wav\t0.1\t0.9\tCat", "a.wav\t0.5\t0.6\tCat"]
    with pytest.raises(SedmtlError, match=r"a\.wav is 0\.50 s long: .* found one at 0\.50 s"):
        strong_of(clips, rows, [0.5, 1.0, 1.5, 1.0])


@pytest.mark.parametrize("name", ["../a.wav", "/a.wav", "x/../../a.wav", "x/.."])
def test_a_row_names_no_file_outside_the_root(clips, name):
    if name == "x/..":  # the root itself, which is no recording
        assert table_of(clips, f"filename,labels\n{name},Dog\n").name == [name]
        return
    with pytest.raises(SedmtlError, match="expected the name of a file below"):
        table_of(clips, f"filename,labels\n{name},Dog\n")


def test_without_strong_labels_no_event_is_known(clips):
    assert len(table_of(clips).events) == 0


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ("x.wav\t0\t1\tCat", ("'x.wav': use the names listed there",)),
        ("b.wav\t0\t1\tDog bark", ("b.wav", "'Dog bark'", "not one of its labels")),
        ("b.wav\t0\t1\tHorse", ("b.wav", "'Horse'", "not one of its labels")),
        ("b.wav\t1\t0.5\tCat", ("0 <= onset < offset",)),
    ],
)
def test_strong_labels_that_do_not_fit_are_one_sentence(clips, one_sentence, row, parts):
    with_strong(clips, f"filename\tonset\toffset\tevent_label\n{row}\n")
    one_sentence(clips.run("features"), "strong.tsv", *parts)


def many_classes(clips, n_classes):
    """Give four recordings `n_classes` classes; the last one is in the last recording."""
    labels = [f"{k:06}" for k in range(n_classes)]
    rows = [f"{name}.wav,{';'.join(labels[i::4])},1" for i, name in enumerate("abcd")]
    (clips.folder / "clips.csv").write_text("\n".join(["filename,labels,fold", *rows]))
    strong = f"filename\tonset\toffset\tevent_label\nd.wav\t0.1\t0.4\t{labels[-1]}\n"
    (clips.folder / "strong.tsv").write_text(strong)
    data_yaml = DATA_YAML.replace("csv: clips.csv", "csv: clips.csv, strong: strong.tsv")
    (clips.folder / "data.yaml").write_text(data_yaml)


@pytest.mark.slow
@pytest.mark.parametrize(("n_classes", "bits"), [(32_768, 16), (40_800, 32)])
def test_labels_of_very_many_classes_are_stored_as_they_are(clips, n_classes, bits):
    many_classes(clips, n_classes)
    make_features(clips)
    _, table, classes = read_features(clips)
    assert table.events.label.dtype == f"int{bits}"
    assert [classes[label] for label in table.events.label] == [f"{n_classes - 1:06}"]
    assert table.events.of_clip(3, classes)[0].label == classes[-1]


def test_too_many_classes_are_refused(clips, one_sentence, monkeypatch):
    monkeypatch.setattr("sedmtl.store.tables.MAX_CLASSES", 1_000)
    many_classes(clips, 1_001)
    one_sentence(clips.run("features"), "expected at most 1,000 classes, found 1,001")
    assert not (clips.work / "features").exists()
    many_classes(clips, 1_000)
    make_features(clips)
