"""Broken, false and hostile files: the right result or one sentence, and nothing else.

Every mutation of `mutations` is read by the command that reads such a file. The command ends with
exit code 0 and the result of the intact file, or with 1 and one sentence. It does not run code from
the file, hang, take a gigabyte of memory, or write anywhere else.
"""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import resource
import shutil
import struct
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import mutations
import numpy as np
import pytest
import soundfile
import torch
from conftest import Project, in_time, invoke, write_tone
from mutations import Mutation, Payload, pickled
from typer.testing import Result

import sedmtl
from sedmtl.data import audio
from sedmtl.label_files import read_strong_labels
from sedmtl.runtime.errors import SedmtlError

pytestmark = pytest.mark.usefixtures("undrawn")

HANGS_S = 20
"""Seconds after which a command counts as hanging: intact files take less than one."""
MUCH = 1 << 30
"""Bytes of memory that no file may cause to be used."""
RUN = "work/runs/2apae_snr20_fold1_alpha0.001_seed0"
CLIPS_YAML = """\
workdir: work/clips
corpus: {clips: {csv: weak.csv, strong: strong.tsv, root: events}}
mixing: {sample_rate: 8000, duration_s: 1, folds: 2}
features: {window: 256, hop: 128, n_mels: 16, f_min: 50}
"""
CORPUS_YAML = """\
workdir: work/tables
corpus:
  events: {kind: csv, csv: events.csv, root: events}
  scenes: {kind: tau2019, root: .}
mixing: {sample_rate: 8000, duration_s: 1, folds: 2, mixtures_per_fold: 2, event_s: 0.3,
         events_per_mixture: 2, onsets: [0.1, 0.6], snrs_db: [0]}
features: {window: 256, hop: 128, n_mels: 16, f_min: 50}
"""


class Reading(NamedTuple):
    """A file, the command that reads it, and the outputs of the command."""

    path: str
    command: Sequence[str]
    mutations: Sequence[Mutation]
    results: Sequence[str] = ()
    config: str = "data.yaml"
    without: Sequence[str] = ()


READINGS = {
    "wav": Reading("clip.wav", ["predict", "clip.wav"], mutations.WAV),
    "flac": Reading("clip.flac", ["predict", "clip.flac"], mutations.FLAC),
    "ogg": Reading("clip.ogg", ["predict", "clip.ogg"], mutations.OGG),
    "mixtures": Reading("work/mixtures/snr_20.h5", ["features"], mutations.MIXTURES,
                        ["work/features/snr_20.h5"], without=["work/features/snr_20.h5"]),
    "features": Reading("work/features/snr_20.h5", ["eval", "--on", "work/features/snr_20.h5"],
                        mutations.FEATURES),
    "scores": Reading(f"{RUN}/scores.h5", ["eval"], mutations.SCORES, ["work/eval/eval.json"]),
    "card": Reading(f"{RUN}/model.json", ["predict", "clip.wav"], mutations.CARD),
    "weights": Reading(f"{RUN}/model.safetensors", ["predict", "clip.wav"], mutations.WEIGHTS),
    "state": Reading(f"{RUN}/last.pt", ["train", "--fold", "1", "--width", "2", "--epochs", "4",
                     "--batch-size", "6", "--precision", "float32", "--resume"], mutations.STATE,
                     [f"{RUN}/model.safetensors"]),
    "records": Reading(f"{RUN}/metrics.jsonl", ["report"], mutations.RECORDS),
    "recipe": Reading(f"{RUN}/run.yaml", ["eval"], mutations.RECIPE, ["work/eval/eval.json"]),
    "cached": Reading(f"{RUN}/localisation.json", ["eval"], mutations.CACHED,
                      ["work/eval/eval.json"]),
    "journal": Reading("work/predictions/journal.jsonl", ["predict", "clip.wav"],
                       mutations.JOURNAL, ["work/predictions/events.tsv"]),
    "project": Reading("data.yaml", ["mix", "--snr", "0"], mutations.PROJECT),
    "corpus-table": Reading("events.csv", ["mix"], mutations.TABLE,
                            ["work/tables/mixtures/snr_0.h5"], config="corpus.yaml"),
    "corpus-meta": Reading("meta.csv", ["mix"], mutations.TABLE,
                           ["work/tables/mixtures/snr_0.h5"], config="corpus.yaml"),
    "weak-labels": Reading("weak.csv", ["features"], mutations.TABLE,
                           ["work/clips/features/clips.h5"], config="clips.yaml"),
    "strong-labels": Reading("strong.tsv", ["features"], mutations.TABLE,
                             ["work/clips/features/clips.h5"], config="clips.yaml"),
}  # fmt: skip


def _case(name: str, reading: Reading, mutation: Mutation) -> Any:
    return pytest.param(reading, mutation, id=f"{name}-{mutation.name}")


CASES = [
    _case(name, reading, mutation)
    for name, reading in READINGS.items()
    for mutation in reading.mutations
]
# `make quick` runs every twentieth.
CASES = [
    case if n % 20 == 0 else pytest.param(*case.values, id=case.id, marks=pytest.mark.slow)
    for n, case in enumerate(CASES)
]


def test_there_are_many_mutations_and_each_has_its_name():
    ids = {case.id for case in CASES}
    assert len(ids) == len(CASES) >= 200


def write_tables(folder: Path) -> None:
    """Write tables of events, scenes and labelled recordings for the project's files."""
    names = sorted(str(p.relative_to(folder / "events")) for p in folder.glob("events/*/*.wav"))
    labels = [name.split("/")[0] for name in names]
    rows = [f"{name},{label}" for name, label in zip(names, labels, strict=True)]
    (folder / "events.csv").write_text("\n".join(["file,label", *rows, ""]))
    (folder / "weak.csv").write_text("\n".join(["filename,labels", *rows, ""]))
    events = [f"{name}\t0.0\t0.25\t{label}" for name, label in zip(names, labels, strict=True)]
    header = "filename\tonset\toffset\tevent_label"
    (folder / "strong.tsv").write_text("\n".join([header, *events, ""]))
    scenes = [f"scenes/noise/{k:02d}.wav\tpark\tcity-{k}\ta" for k in range(24)]
    header = "filename\tscene_label\tidentifier\tsource_label"
    (folder / "meta.csv").write_text("\n".join([header, *scenes, ""]))
    (folder / "clips.yaml").write_text(CLIPS_YAML)
    (folder / "corpus.yaml").write_text(CORPUS_YAML)


@pytest.fixture(scope="module")
def master(trained, tmp_path_factory) -> Path:
    """A project with one of every file that a command reads, and an intact copy beside it.

    Tests break and restore the project in place, because a journal identifies recordings by path.
    """
    folder = tmp_path_factory.mktemp("hostile") / "project"
    shutil.copytree(trained.folder, folder)
    write_tables(folder)
    wave, rate = soundfile.read(write_tone(folder / "clip.wav", 900, 2.0))
    soundfile.write(folder / "clip.flac", wave, rate)
    soundfile.write(folder / "clip.ogg", wave, rate)
    for arguments in (["eval"], ["predict", str(folder / "clip.wav")]):
        assert Project(folder).run(*arguments).exit_code == 0
    shutil.rmtree(folder / "work" / "eval")
    shutil.copytree(folder, folder.with_name("whole"))
    return folder


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder, with size and time."""
    paths = (f"{top}/{name}" for top, _, names in os.walk(folder) for name in names)
    stats = ((path, os.lstat(path)) for path in paths)
    return {
        path.removeprefix(f"{folder}/"): (stat.st_size, stat.st_mtime_ns) for path, stat in stats
    }


def restore(folder: Path, whole: Path) -> None:
    """Make `folder` equal to `whole`, touching only files that differ."""
    wanted, found = files_of(whole), files_of(folder)
    # Not overwritten: HDF5 would take a file that is still open for the same one.
    for name, _ in found.items() - wanted.items():
        (folder / name).unlink()
    for name, _ in wanted.items() - found.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(whole / name, folder / name)
    for top, _, _ in os.walk(folder, topdown=False):
        if not (whole / Path(top).relative_to(folder)).is_dir():
            Path(top).rmdir()


@pytest.fixture
def place(master, monkeypatch) -> Iterator[Path]:
    """The project to break, as current folder; restored afterwards."""
    monkeypatch.chdir(master)
    yield master
    restore(master, master.with_name("whole"))


def outside_work(folder: Path) -> dict[str, tuple[int, int]]:
    """The files outside `work`, which no command should change."""
    return {k: stamp for k, stamp in files_of(folder).items() if not k.startswith("project/work/")}


@contextmanager
def in_bounds(folder: Path) -> Iterator[None]:
    """Fail if the block hangs, takes too much memory, or changes files outside `work`."""

    before, most = outside_work(folder), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with in_time(HANGS_S):
        yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most) * 1024 < MUCH
    assert outside_work(folder) == before


def run(reading: Reading, place: Path) -> tuple[Result, list[bytes]]:
    """Run the command on the file; returns its result and its outputs."""
    for name in reading.without:
        (place / name).unlink()
    result = invoke([*reading.command, "--config", reading.config])
    written = [place / name for name in reading.results]
    return result, [path.read_bytes() if path.is_file() else b"" for path in written]


@pytest.fixture(scope="module")
def expected() -> Callable[[Reading], tuple[str, list[bytes]]]:
    """The result of a command on the intact file."""
    known: dict[str, tuple[str, list[bytes]]] = {}

    def outcome(reading: Reading, place: Path) -> tuple[str, list[bytes]]:
        if reading.path not in known:
            result, written = run(reading, place)
            assert result.exit_code == 0, result.output
            known[reading.path] = result.stdout, written
            restore(place, place.with_name("whole"))
        return known[reading.path]

    return outcome


@pytest.mark.parametrize(("reading", "mutation"), CASES)
def test_a_broken_file_gives_the_right_result_or_one_sentence(
    reading, mutation, place, expected, one_sentence
):
    whole = expected(reading, place)
    path = place / reading.path
    path.write_bytes(mutation.change(path.read_bytes()))
    with in_bounds(place.parent):
        result, written = run(reading, place)
    if result.exit_code:
        one_sentence(result)
    elif not mutation.says_else:
        assert (result.stdout, written) == whole


WIDTHS = {1: "u1", 2: "<i2", 4: "<i4"}


def decoded(path: Path) -> tuple[int, Any] | None:
    """Rate and mono samples of an 8, 16 or 32-bit file by the standard library, or None."""
    try:
        with wave.open(str(path)) as file:
            n_channels, width, rate, n_frames, _, _ = file.getparams()
            values = np.frombuffer(file.readframes(n_frames), WIDTHS[width]).astype(np.float64)
    except (wave.Error, EOFError, KeyError, struct.error, ValueError):
        return None
    values = (values - 128) / 128 if width == 1 else values / 2 ** (8 * width - 1)
    whole = len(values) // n_channels * n_channels
    return rate, values[:whole].reshape(-1, n_channels).mean(axis=1)


ELSE = [mutation for mutation in mutations.WAV if mutation.says_else]


@pytest.mark.parametrize("mutation", ELSE, ids=lambda mutation: mutation.name)
def test_a_wav_file_with_another_header_is_decoded_as_that_header_says(place, mutation):
    path = place / "clip.wav"
    path.write_bytes(mutation.change(path.read_bytes()))
    try:
        rate = audio.probe(path).sample_rate
        ours = audio.read(path, rate)
    except SedmtlError:
        return
    np.testing.assert_array_equal(np.concatenate(list(audio.stream(path, rate))), ours)
    theirs = decoded(path)
    if theirs is not None:
        assert theirs[0] == rate
        # They stop at the file's stated end, whatever the data chunk states.
        np.testing.assert_allclose(ours[: len(theirs[1])], theirs[1], atol=1e-6)


BROKEN_AUDIO = [m for m in mutations.WAV if m.name in (
    "empty", "cut-in-half", "10-hours-in-the-header", "10-hours-and-no-data", "nan",
    "beyond-float32-together", "no-sample", "a-web-page")]  # fmt: skip
USES = {
    "mix": ("events/tone_300/0.wav", ["mix", "--snr", "0"]),
    "features": ("events/tone_300/0.wav", ["features", "--strict", "--config", "clips.yaml"]),
    "separate": ("clip.wav", ["separate", "clip.wav"]),
    "visualize": ("clip.wav", ["visualize", "clip.wav"]),
}


@pytest.mark.parametrize("mutation", BROKEN_AUDIO, ids=lambda mutation: mutation.name)
@pytest.mark.parametrize(("name", "command"), USES.values(), ids=USES)
def test_every_command_refuses_broken_audio_and_names_it(
    place, one_sentence, name, command, mutation
):
    path = place / name
    path.write_bytes(mutation.change(path.read_bytes()))
    with in_bounds(place.parent):
        result = invoke(command if "--config" in command else [*command, "--config", "data.yaml"])
    one_sentence(result, path.name)


# Code from data.


def as_torch_does(marker: Path) -> bytes:
    content = io.BytesIO()
    torch.save({"network": Payload(marker), "history": []}, content)
    return content.getvalue()


def as_hdf5_attribute(marker: Path) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for key in ("schema", "classes", "config"):
            file.attrs[key] = np.void(pickled(marker))
        file["logmel"] = file["waveform"] = np.void(pickled(marker))
    return content.getvalue()


def as_a_tag(marker: Path) -> bytes:
    return f"x: !!python/object/apply:os.mkdir [{marker}]\n".encode()


PLANTS = {
    ".pt": [pickled, as_torch_does],
    ".safetensors": [pickled, as_torch_does],
    ".h5": [pickled, as_hdf5_attribute],
    ".yaml": [pickled, as_a_tag],
    ".json": [pickled, as_a_tag],
    ".jsonl": [pickled],
}


@pytest.mark.parametrize(
    ("reading", "plant"),
    [
        pytest.param(reading, plant, id=f"{name}-{plant.__name__}")
        for name, reading in READINGS.items()
        for plant in PLANTS.get(Path(reading.path).suffix, [pickled])
    ],
)
def test_no_file_runs_code(reading, plant, place, expected, one_sentence):
    whole = expected(reading, place)
    marker = place.parent / "marker"
    (place / reading.path).write_bytes(plant(marker))
    with in_bounds(place.parent):
        result, written = run(reading, place)
    assert not marker.exists()
    if result.exit_code:
        one_sentence(result)
    else:  # the file was rebuilt
        assert (result.stdout, written) == whole


@pytest.mark.parametrize("plant", [pickled, as_torch_does])
def test_the_payload_would_run_where_pickles_are_trusted(tmp_path, plant):
    """Otherwise the test above could not fail."""
    content = plant(tmp_path / "marker")
    if plant is pickled:
        pickle.loads(content)
    else:
        torch.load(io.BytesIO(content), weights_only=False)
    assert (tmp_path / "marker").exists()


SOURCES = sorted(Path(sedmtl.__file__).parent.rglob("*.py"))
RUNNERS = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


def said_of(call: ast.Call, keyword: str) -> str | None:
    return next((ast.unparse(k.value) for k in call.keywords if k.arg == keyword), None)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: "-".join(path.parts[-2:]))
def test_no_module_opens_what_could_run(source):
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            check_call(ast.unparse(node.func), node, source)
        elif isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & RUNNERS
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in RUNNERS


def check_call(name: str, call: ast.Call, source: Path) -> None:
    assert name not in ("eval", "exec", "__import__", "os.system")
    assert said_of(call, "shell") in (None, "False")
    if name == "torch.load":
        assert said_of(call, "weights_only") == "True"
    if name in ("np.load", "numpy.load", "np.fromfile"):
        assert said_of(call, "allow_pickle") in (None, "False")
    if name in ("yaml.load", "yaml.load_all"):
        assert source.name == "documents.py"  # with a subclass of SafeLoader
    assert not name.startswith(("yaml.unsafe", "yaml.full"))


def test_the_loader_of_yaml_is_a_safe_one():
    import yaml

    from sedmtl.runtime import documents

    assert issubclass(documents._Loader, yaml.SafeLoader)
    assert not documents._Loader.yaml_multi_constructors


# Names.

ELSEWHERE = ["../clip.wav", "tone_300/../../clip.wav", "{place}/clip.wav", "..", "a\0b.wav"]
TABLES = {
    "events.csv": ("corpus.yaml", "mix", "{name},tone_300"),
    "meta.csv": ("corpus.yaml", "mix", "{name}\tpark\tcity-9\ta"),
    "weak.csv": ("clips.yaml", "features", "{name},tone_300"),
}


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("table", TABLES)
def test_a_table_names_no_file_outside_its_root(place, one_sentence, table, name):
    config, command, row = TABLES[table]
    if table == "meta.csv" and name == "tone_300/../../clip.wav":
        name = f"scenes/../{name}"
    path = place / table
    path.write_text(f"{path.read_text()}{row.format(name=name.format(place=place))}\n")
    with in_bounds(place.parent):
        result = invoke([command, "--config", config])
    one_sentence(result, table, "expected the name of a file below")


ODD_NAMES = ["a\nb.wav", "a\tb.wav", 'a"b.wav', "😀 ü.wav", "-rf.wav", "a;b,c.wav", "[red].wav"]


def test_recordings_with_odd_names_are_read_and_told_apart(place):
    """No line break in a name breaks a table; no name counts as an option or markup."""
    folder = place / "odd"
    for name in ODD_NAMES:
        folder.mkdir(exist_ok=True)
        shutil.copy(place / "clip.wav", folder / name)
    with in_bounds(place.parent):
        result = invoke(["predict", "odd", "--config", "data.yaml", "--threshold", "0.01",
                         "--out", "work/odd", "--format", "json"])  # fmt: skip
    assert result.exit_code == 0, result.output
    found = read_strong_labels(place / "work" / "odd" / "events.tsv")
    # This table shows line breaks and tabs as spaces.
    assert set(found) == {name.replace("\n", " ").replace("\t", " ") for name in ODD_NAMES}
    for name in ODD_NAMES:
        said = json.loads((place / "work" / "odd" / f"{name}.json").read_text())
        assert said["filename"] == name


def test_a_table_of_weak_labels_may_hold_odd_names(place):
    names = [name for name in ODD_NAMES if name[0] != "-"]
    for name in names:
        shutil.copy(place / "clip.wav", place / "events" / name)
    quoted = [name.replace('"', '""') for name in names]
    rows = "".join(f'"{name}",tone_{k % 2}\n' for k, name in enumerate(quoted))
    (place / "weak.csv").write_text(f"filename,labels\n{rows}", encoding="utf-8")
    (place / "clips.yaml").write_text(CLIPS_YAML.replace("strong: strong.tsv, ", ""))
    shutil.rmtree(place / "work" / "clips", ignore_errors=True)
    with in_bounds(place.parent):
        result = invoke(["features", "--config", "clips.yaml"])
    assert result.exit_code == 0, result.output
    with h5py.File(place / "work" / "clips" / "features" / "clips.h5") as file:
        assert list(file["name"].asstr()[:]) == names


ODD_CLASSES = ["../../escaped", "a/b", ".."]


@pytest.mark.parametrize(
    "command",
    [
        ["separate", "clip.wav", "--classes", ",".join(ODD_CLASSES)],
        ["predict", "clip.wav", "--threshold", "0.01", "--tags", "--format", "audacity"],
        ["visualize", "clip.wav", "--html"],
    ],
    ids=lambda command: command[0],
)
def test_class_names_are_not_paths(place, command):
    card = place / RUN / "model.json"
    card.write_bytes(mutations.set_key("classes", ODD_CLASSES)(card.read_bytes()))
    with in_bounds(place.parent):
        result = invoke([*command, "--config", "data.yaml"])
    assert result.exit_code == 0, result.output
    if command[0] == "separate":
        written = list((place / "work" / "separated").rglob("*.wav"))
        assert {path.parent.name for path in written} == {"clip"}
        assert len(written) == len(ODD_CLASSES) + 1


# Labels.


@pytest.mark.parametrize(
    "times",
    ["nan\t1", "0\tnan", "0\tinf", "-inf\t1", "-1\t1", "1\t0.5", "1\t1", "0\t1e999", "x\t1", "\t"],
)  # fmt: skip
def test_strong_labels_have_times(place, one_sentence, times):
    path = place / "strong.tsv"
    path.write_text(f"filename\tonset\toffset\tevent_label\ntone_300/0.wav\t{times}\ttone_300\n")
    one_sentence(invoke(["features", "--config", "clips.yaml"]), "strong.tsv")
    one_sentence(invoke(["visualize", "clip.wav", "--labels", str(path), "--config", "data.yaml"]),
                 "strong.tsv")  # fmt: skip


def test_strong_labels_begin_within_their_recording(place, one_sentence):
    header = "filename\tonset\toffset\tevent_label"
    (place / "strong.tsv").write_text(f"{header}\ntone_300/0.wav\t0.5\t0.9\ttone_300\n")
    result = invoke(["features", "--config", "clips.yaml"])  # the recording lasts 0.3 s
    one_sentence(result, "tone_300/0.wav is 0.30 s long")


@pytest.mark.parametrize("state", [{}, {"network": {}}, [1], {"network": {"a": torch.zeros(3)}}])
def test_a_state_of_another_training_is_refused(place, one_sentence, state):
    torch.save(state, place / RUN / "last.pt")
    one_sentence(invoke([*READINGS["state"].command, "--config", "data.yaml"]), "last.pt")
