"""The adapters: each reads a tiny layout that the test writes, and reports what is missing."""

from __future__ import annotations

import hashlib

import pytest
import soundfile
from conftest import write_noise, write_tone

from sedmtl.config import load_config
from sedmtl.data import audio
from sedmtl.data.corpora import load_events, load_scenes, synthesis
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.lock import folder_lock

FSD = "FSDKaggle2018"
FSD_TABLE = "FSDKaggle2018.meta/train_post_competition.csv"
FSD_ROWS = """\
fname,label,manually_verified,freesound_id,license
b.wav,Dog,1,11,CC0
a.wav,Dog,0,11,CC0
c.wav,"Gong, large",1,12,CC0
"""
TAU = "TAU-urban-acoustic-scenes-2019-development"
TAU_ROWS = """\
filename\tscene_label\tidentifier\tsource_label
audio/park-oslo-2.wav\tpark\toslo-2\ta
audio/bus-oslo-1.wav\tbus\toslo-1\ta
"""


@pytest.fixture
def configure(tmp_path):
    def write_and_load(corpus: str):
        (tmp_path / "data.yaml").write_text(f"corpus: {{{corpus}}}\nmixing: {{duration_s: 8}}\n")
        return load_config(tmp_path / "data.yaml")

    return write_and_load


@pytest.fixture
def write(tmp_path):
    def write_below(name: str, text: str = ""):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write_below


def fails(load, *parts):
    with pytest.raises(SedmtlError) as error:
        load()
    for part in parts:
        assert part in str(error.value)


# --- FSDKaggle2018 -----------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["data", f"data/{FSD}"])
def test_fsdkaggle2018_is_found_in_its_published_folder_or_one_above(
    configure, write, tmp_path, root
):
    write(f"data/{FSD}/{FSD_TABLE}", FSD_ROWS)
    config = configure(f"events: {{kind: fsdkaggle2018, root: {root}, verified_only: false}}")
    clips = load_events(config)
    assert [clip.name for clip in clips] == ["a.wav", "b.wav", "c.wav"]
    assert [clip.label for clip in clips] == ["Dog", "Dog", "Gong, large"]
    assert clips[0].path == tmp_path / "data" / FSD / "FSDKaggle2018.audio_train" / "a.wav"


@pytest.mark.parametrize(("verified_only", "usable"), [("true", [0, 1, 1]), ("false", [1, 1, 1])])
def test_fsdkaggle2018_uses_verified_clips_and_keeps_the_rows_of_the_others(
    configure, write, verified_only, usable
):
    write(f"data/{FSD_TABLE}", FSD_ROWS)
    config = configure(
        f"events: {{kind: fsdkaggle2018, root: data, verified_only: {verified_only}}}"
    )
    assert [clip.usable for clip in load_events(config)] == usable


def test_fsdkaggle2018_clips_of_one_freesound_recording_share_it(configure, write):
    config = configure("events: {kind: fsdkaggle2018, root: data}")
    write(f"data/{FSD_TABLE}", FSD_ROWS)
    assert [clip.recording for clip in load_events(config)] == ["11", "11", "12"]
    write(f"data/{FSD_TABLE}", "fname,label,manually_verified\na.wav,Dog,1\n")
    assert [clip.recording for clip in load_events(config)] == ["a.wav"]


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        ("fname,label\na.wav,Dog\n", ["missing: manually_verified", "found: fname, label"]),
        (FSD_ROWS.replace("a.wav,Dog,0", "a.wav,Dog,no"), ["manually_verified 0 or 1", "'no'"]),
        (FSD_ROWS.replace("a.wav,Dog", "a.wav,"), ["expected a label", "'fname': 'a.wav'"]),
        (FSD_ROWS.replace("a.wav", "b.wav"), ["expected each fname once", "b.wav 2 times"]),
        (FSD_ROWS + "d.wav,Flute,0,13,CC0\n", ["'Flute' has no manually verified clip", "false"]),
    ],
)
def test_fsdkaggle2018_explains_a_bad_table(configure, write, rows, parts):
    write(f"data/{FSD_TABLE}", rows)
    config = configure("events: {kind: fsdkaggle2018, root: data}")
    fails(lambda: load_events(config), *parts)


@pytest.mark.parametrize(
    ("kind", "marker", "load"),
    [("events: {kind: fsdkaggle2018", FSD_TABLE, load_events),
     ("scenes: {kind: tau2019", "meta.csv", load_scenes)],
)  # fmt: skip
def test_a_missing_published_corpus_says_what_was_expected_where(
    configure, tmp_path, kind, marker, load
):
    config = configure(f"{kind}, root: data}}")
    where = f"expected {marker} in {tmp_path / 'data'}"
    fails(lambda: load(config), where, "found no such folder", "check the root in data.yaml")
    (tmp_path / "data").mkdir()
    fails(lambda: load(config), where, "found a folder without it")


# --- TAU 2019 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["data", f"data/{TAU}"])
def test_tau2019_scenes_know_their_kind_and_location(configure, write, tmp_path, root):
    write(f"data/{TAU}/meta.csv", TAU_ROWS)
    scenes = load_scenes(configure(f"scenes: {{kind: tau2019, root: {root}}}"))
    assert [scene.name for scene in scenes] == ["audio/bus-oslo-1.wav", "audio/park-oslo-2.wav"]
    assert [(scene.label, scene.location) for scene in scenes] == [
        ("bus", "oslo-1"), ("park", "oslo-2"),
    ]  # fmt: skip
    assert scenes[0].path == tmp_path / "data" / TAU / "audio" / "bus-oslo-1.wav"


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        (TAU_ROWS.replace("\t", ","), ["meta.csv should have the columns", "missing: filename"]),
        (TAU_ROWS.replace("identifier", "place"), ["missing: identifier"]),
        (TAU_ROWS.replace("park-oslo-2", "bus-oslo-1"), ["each filename once", "2 times"]),
    ],
)
def test_tau2019_explains_a_bad_table(configure, write, rows, parts):
    write("data/meta.csv", rows)
    config = configure("scenes: {kind: tau2019, root: data}")
    fails(lambda: load_scenes(config), *parts)


# --- A folder ----------------------------------------------------------------------------------


def test_a_folders_sub_folders_are_the_classes(configure, write, tmp_path):
    for name in ("Dog/2.wav", "Dog/new/1.flac", "Cat purr/1.wav", "Dog/notes.txt", ".git/x.wav"):
        write(f"ev/{name}")
    write("ev/README.txt")
    clips = load_events(configure("events: {kind: folder, root: ev}"))
    assert [(clip.name, clip.label) for clip in clips] == [
        ("Cat purr/1.wav", "Cat purr"), ("Dog/2.wav", "Dog"), ("Dog/new/1.flac", "Dog"),
    ]  # fmt: skip
    assert [clip.path for clip in clips] == [tmp_path / "ev" / clip.name for clip in clips]
    assert all(clip.usable and clip.recording == clip.name for clip in clips)


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        ([], ["no folder", "expected one with a sub-folder per class"]),
        (["ev/notes.txt"], ["should have one sub-folder per class, found none"]),
        (["ev/1.wav"], ["should have one sub-folder per class, found none"]),
        (["ev/Dog/1.wav", "ev/Cat/notes.txt"], ["class 'Cat' is empty", ".wav", "found none"]),
        (["ev/Dog/1.wav", "ev/2.wav"], ["ev/2.wav has no class", "move it"]),
    ],
)
def test_a_folder_without_classes_says_what_is_missing(configure, write, files, parts):
    for name in files:
        write(name)
    config = configure("events: {kind: folder, root: ev}")
    fails(lambda: load_events(config), "ev", *parts)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["2.wav", "1.wav"], [("1.wav", "scene"), ("2.wav", "scene")]),
        (["1.wav", "meta/notes.txt"], [("1.wav", "scene")]),
        (["bus/1.wav", "park/1.wav"], [("bus/1.wav", "bus"), ("park/1.wav", "park")]),
        (["1.wav", "bus/2.wav"], [("1.wav", "scene"), ("bus/2.wav", "bus")]),
    ],
)
def test_scenes_may_lie_flat_or_in_sub_folders(configure, write, files, expected):
    for name in files:
        write(f"sc/{name}")
    scenes = load_scenes(configure("scenes: {kind: folder, root: sc}"))
    assert [(scene.name, scene.label) for scene in scenes] == expected
    assert len({scene.location for scene in scenes}) == len(scenes)


# --- A table -----------------------------------------------------------------------------------


def test_a_table_names_files_labels_recordings_and_locations(configure, write, tmp_path):
    write("t/e.csv", "file,label,recording\nb.wav,Dog,r1\na.wav,Dog,r1\nc.wav,Cat,\n")
    write("t/s.csv", "file,label,location\nx.wav,park,oslo\ny.wav,park,\n")
    config = configure(
        "events: {kind: csv, csv: t/e.csv, root: wavs}, scenes: {kind: csv, csv: t/s.csv}"
    )
    clips, scenes = load_events(config), load_scenes(config)
    assert [(c.name, c.label, c.recording) for c in clips] == [
        ("a.wav", "Dog", "r1"), ("b.wav", "Dog", "r1"), ("c.wav", "Cat", "c.wav"),
    ]  # fmt: skip
    assert clips[0].path == tmp_path / "wavs" / "a.wav"
    assert [scene.location for scene in scenes] == ["oslo", "y.wav"]
    assert scenes[0].path == tmp_path / "t" / "x.wav"


def test_the_root_may_be_the_table_itself(configure, write, tmp_path):
    write("t/e.csv", "file,label\na.wav,Dog\n")
    (clip,) = load_events(configure("events: {kind: csv, root: t/e.csv}"))
    assert clip.path == tmp_path / "t" / "a.wav"


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        ("file,class\na.wav,Dog\n", ["missing: label", "found: file, class"]),
        ("file,label\na.wav,\n", ["each row needs a label", "'file': 'a.wav'"]),
        ("file,label\n,Dog\n", ["each row needs a file, missing in 1"]),
        ("file,label\na.wav,Dog\na.wav,Cat\n", ["expected each file once", "a.wav 2 times"]),
        ("file,label\n", ["has a header but no rows"]),
        (None, ["no table", "check this path"]),
    ],
)
@pytest.mark.parametrize("load", [load_events, load_scenes])
def test_a_bad_table_is_explained(configure, write, rows, parts, load):
    if rows is not None:
        write("t.csv", rows)
    section = "events" if load is load_events else "scenes"
    config = configure(f"{section}: {{kind: csv, csv: t.csv}}")
    fails(lambda: load(config), "t.csv", *parts)


@pytest.mark.parametrize("name", ["../a.wav", "x/../../a.wav", "/etc/a.wav", ".."])
@pytest.mark.parametrize(
    ("section", "table", "text"),
    [
        ("events: {kind: csv, csv: t.csv, root: t}", "t.csv", "file,label\n{},Dog\n"),
        ("scenes: {kind: csv, csv: t.csv, root: t}", "t.csv", "file,label\n{},park\n"),
        ("scenes: {kind: tau2019, root: .}", "meta.csv",
         "filename\tscene_label\tidentifier\n{}\tpark\toslo-1\n"),
        ("events: {kind: fsdkaggle2018, root: .}",
         "FSDKaggle2018.meta/train_post_competition.csv",
         "fname,label,manually_verified\n{},Dog,1\n"),
    ],
    ids=["events", "scenes", "tau2019", "fsdkaggle2018"],
)  # fmt: skip
def test_a_row_names_no_file_outside_the_root(configure, write, section, table, text, name):
    write(table, text.format(name))
    load = load_events if section.startswith("events") else load_scenes
    fails(lambda: load(configure(section)), table, "expected the name of a file below", repr(name))


def test_a_row_may_go_up_and_come_back(configure, write, tmp_path):
    write("t.csv", "file,label\nx/../a.wav,Dog\n")
    [clip] = load_events(configure("events: {kind: csv, csv: t.csv}"))
    assert clip.path.resolve() == tmp_path / "a.wav"


# --- The built-in corpus -----------------------------------------------------------------------

SYNTHETIC = "kind: synthetic, clips_per_class: 1, seed: 3"


@pytest.fixture
def few_makers(monkeypatch):
    """Reduce the corpus to two events and one scene, enough to test how they are written."""
    events = {name: synthesis.EVENTS[name] for name in ("beep", "knock")}
    monkeypatch.setattr(synthesis, "EVENTS", events)
    monkeypatch.setattr(synthesis, "SCENES", {"wind": synthesis.SCENES["wind"]})


def hashes(clips):
    return {clip.name: hashlib.sha256(clip.path.read_bytes()).hexdigest() for clip in clips}


def test_the_synthetic_corpus_has_every_class_and_scenes_as_long_as_a_mixture(configure):
    config = configure(f"events: {{{SYNTHETIC}}}, scenes: {{{SYNTHETIC}}}")
    clips, scenes = load_events(config), load_scenes(config)
    assert {clip.label for clip in clips} == set(synthesis.EVENTS)
    assert {scene.label for scene in scenes} == set(synthesis.SCENES)
    lengths = {soundfile.info(scene.path).frames for scene in scenes}
    assert lengths == {8 * synthesis.SAMPLE_RATE}


@pytest.mark.usefixtures("few_makers")
def test_two_folders_get_identical_bytes(configure):
    roots = ("one", "two/deeper")
    made = []
    for root in roots:
        config = configure(
            f"events: {{{SYNTHETIC}, root: {root}}}, scenes: {{{SYNTHETIC}, root: {root}}}"
        )
        made.append(hashes(load_events(config)) | hashes(load_scenes(config)))
    assert made[0] == made[1]
    assert len(set(made[0].values())) == 3


@pytest.mark.usefixtures("few_makers")
def test_another_seed_and_each_number_give_other_sounds(configure):
    files = []
    for seed in (0, 1):
        config = configure(f"events: {{kind: synthetic, clips_per_class: 2, seed: {seed}}}")
        files += hashes(load_events(config)).values()
    assert len(files) == len(set(files)) == 8


@pytest.mark.usefixtures("few_makers")
def test_more_clips_per_class_keep_the_first_ones(configure):
    few, many = (
        hashes(load_events(configure(f"events: {{kind: synthetic, clips_per_class: {n}}}")))
        for n in (1, 2)
    )
    assert few.items() < many.items()


@pytest.mark.usefixtures("few_makers")
def test_written_files_are_not_rewritten(configure, monkeypatch):
    config = configure(f"events: {{{SYNTHETIC}}}")
    first = load_events(config)

    def refuse(*_):
        pytest.fail("wrote a corpus that was there already")

    monkeypatch.setattr(audio, "wav_bytes", refuse)
    assert load_events(config) == first


@pytest.mark.usefixtures("few_makers")
def test_interrupted_writing_leaves_no_final_file_and_is_completed_later(
    configure, monkeypatch, tmp_path
):
    config = configure(f"events: {{{SYNTHETIC}}}")
    whole = hashes(load_events(configure(f"events: {{{SYNTHETIC}, root: elsewhere}}")))
    encode, written = audio.wav_bytes, []

    def stop_at_the_second(*given):
        if written:
            raise KeyboardInterrupt
        written.append(given)
        return encode(*given)

    with monkeypatch.context() as patch:
        patch.setattr(audio, "wav_bytes", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            load_events(config)
    visible = [p for p in (tmp_path / "synthetic").iterdir() if not p.name.startswith(".")]
    assert written
    assert visible == []
    assert hashes(load_events(config)) == whole
    names = {path.name for path in (tmp_path / "synthetic").iterdir()}
    assert names == {"events_seed3_1", ".sedmtl.lock"}


def test_two_commands_do_not_write_the_built_in_corpus_at_once(configure, tmp_path):
    config = configure(f"events: {{{SYNTHETIC}}}")
    with folder_lock(tmp_path / "synthetic", "sedmtl mix"):
        fails(lambda: load_events(config), "synthetic is in use by 'sedmtl mix', process")
    assert load_events(config)


# --- Through the command line ------------------------------------------------------------------


@pytest.mark.parametrize(("load", "what"), [(load_events, "events"), (load_scenes, "scenes")])
def test_an_unnamed_corpus_is_requested(configure, load, what):
    config = configure("clips: {csv: a.csv}")
    fails(lambda: load(config), f"names no corpus.{what}", "mixing needs events and scenes")


def test_a_broken_recording_stops_the_mixing_before_it_begins(project, one_sentence):
    broken = project.folder / "events" / "tone_300" / "0.wav"
    broken.write_text("no audio")
    one_sentence(project.run("mix", "--snr", 0), str(broken), "cannot read", "as audio")
    assert not project.work.exists()


def test_unverified_clips_are_never_mixed(project):
    root = project.folder / FSD
    rows = ["fname,label,manually_verified"]
    for n in range(16):
        write_tone(root / "FSDKaggle2018.audio_train" / f"{n}.wav", 300 + 50 * n, 0.4)
        rows.append(f"{n}.wav,{'low' if n < 8 else 'high'},{n % 2}")
    (root / FSD_TABLE).parent.mkdir()
    (root / FSD_TABLE).write_text("\n".join(rows))
    data_yaml = project.folder / "data.yaml"
    data_yaml.write_text(
        data_yaml.read_text()
        .replace("{kind: folder, root: events}", f"{{kind: fsdkaggle2018, root: {FSD}}}")
        .replace("folds: 4", "folds: 2")
    )
    result = project.run("mix", "--snr", 0)
    assert result.exit_code == 0, result.output
    plan = (project.work / "mixtures" / "plan.yaml").read_text()
    for n in range(16):
        assert (f'"clip": "{n}.wav"' in plan) == bool(n % 2)


def test_a_missing_scene_file_is_named(project, one_sentence):
    write_noise(project.folder / "sc" / "0.wav", 0, 2.0)
    rows = ["file,label", *(f"{n}.wav,park" for n in range(24))]
    (project.folder / "sc" / "s.csv").write_text("\n".join(rows))
    data_yaml = project.folder / "data.yaml"
    data_yaml.write_text(
        data_yaml.read_text().replace("{kind: folder, root: scenes}", "{kind: csv, csv: sc/s.csv}")
    )
    one_sentence(project.run("mix", "--snr", 0), "no audio file", "1.wav", "and 22 more of 24")
