from __future__ import annotations

import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from sedmtl.inference import checkpoint, runs
from sedmtl.inference.model_card import ModelCard
from sedmtl.inference.postprocess import PostProcessing
from sedmtl.models.autoencoder import TwoStepAttentionSettings
from sedmtl.runtime.documents import CHECKSUM, sealed
from sedmtl.runtime.errors import SedmtlError
from sedmtl.training import run_folder, state


@pytest.fixture
def card():
    return ModelCard(
        network=TwoStepAttentionSettings(
            2, attention="equations", time_attention="local", reconstruction="linear"
        ),
        n_frames=14,
        n_mels=8,
        classes=("dog", "Glöckchen"),
        sample_rate=8000,
        n_samples=2000,
        features={"window": 256, "hop": 128, "n_mels": 8, "f_min": 50.0, "f_max": 4000.0},
        mean=tuple(np.linspace(-9, -5, 8).tolist()),
        std=tuple(np.linspace(1, 2, 8).tolist()),
        postprocessing=PostProcessing((0.25, 0.75), median_s=0.4, gated=True),
        tag_threshold=(0.3, 0.6),
        training={"fold": 1, "alpha": 0.001, "precision": "float32"},
    )


@pytest.fixture
def run(card, tmp_path):
    network = card.build_network()
    runs.write_run(tmp_path, {"fold": 1})
    checkpoint.save_model(tmp_path, card, network.state_dict())
    return tmp_path, network


def test_a_network_comes_back_as_it_was(run, card):
    folder, network = run
    loaded_card, loaded = checkpoint.load_model(folder)
    assert loaded_card.classes == card.classes
    assert loaded_card.features == card.features
    assert loaded_card.mean == pytest.approx(card.mean, abs=0)
    x = torch.randn(1, card.n_frames, card.n_mels)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x).clip, network.eval()(x).clip, rtol=0, atol=0)
    assert not loaded.training


def test_the_card_builds_the_front_end_it_names(card):
    waveform = torch.randn(1, card.n_samples)
    logmel = card.build_standardiser()(card.build_logmel()(waveform))
    assert logmel.shape == (1, card.n_frames, card.n_mels)


def test_the_model_folder_holds_no_pickle(run):
    folder, _ = run
    json.loads((folder / "model.json").read_text())
    assert (folder / "model.safetensors").read_bytes()[8:9] == b"{"


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.json").write_text("{"),
        lambda folder: (folder / "model.json").write_text('{"schema": 2}'),
        lambda folder: (folder / "model.json").unlink(),
        lambda folder: (folder / "model.safetensors").write_bytes(b"\x10" * 100),
        lambda folder: os.truncate(folder / "model.safetensors", 500),
    ],
)
def test_a_damaged_run_is_one_sentence(run, damage):
    damage(run[0])
    with pytest.raises(SedmtlError, match=r"is damaged .*train it again"):
        checkpoint.load_model(run[0])


def test_weights_of_another_number_of_classes_are_refused(run):
    path = run[0] / "model.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "classes": ["dog", "cat", "cow"]}))
    with pytest.raises(SedmtlError, match="damaged"):
        checkpoint.load_model(run[0])


def test_another_schema_is_refused(run):
    path = run[0] / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    with pytest.raises(SedmtlError, match="schema"):
        checkpoint.load_model(run[0])


def change_card(folder, **changes):
    """Change a card and reseal it."""
    path = folder / "model.json"
    data = {key: value for key, value in json.loads(path.read_text()).items() if key != CHECKSUM}
    path.write_text(json.dumps(sealed({**data, **changes})))


@pytest.mark.parametrize(
    ("old", "new"), [('"width": 2', '"width": 4'), ("0.25", "0.35"), ("dog", "cat"), ("-9", "-8")]
)
def test_an_edited_card_is_noticed(run, old, new):
    path = run[0] / "model.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(SedmtlError, match="its checksum does not match"):
        checkpoint.load_card(run[0])


def test_a_card_from_before_seals_is_read(run, card):
    path = run[0] / "model.json"
    data = json.loads(path.read_text())
    del data[CHECKSUM], data["weights_sha256"]
    path.write_text(json.dumps(data))
    assert checkpoint.load_model(run[0])[0].classes == card.classes


@pytest.mark.parametrize("at", [-1, -100, 3000])
def test_a_flipped_bit_of_the_weights_is_noticed(run, at):
    path = run[0] / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(SedmtlError, match="its weights were changed"):
        checkpoint.load_model(run[0])


def test_weights_that_are_nan_are_refused(run, card):
    folder, network = run
    weights = network.state_dict()
    weights[next(iter(weights))].view(-1)[0] = float("nan")
    checkpoint.save_model(folder, card, weights)
    with pytest.raises(SedmtlError, match="its weights hold NaN or infinity"):
        checkpoint.load_model(folder)


@pytest.mark.parametrize("value", [1e30, -2e9])
def test_weights_that_would_overflow_are_refused(run, card, value):
    folder, network = run
    weights = network.state_dict()
    weights[next(iter(weights))].view(-1)[0] = value
    checkpoint.save_model(folder, card, weights)
    with pytest.raises(SedmtlError, match="its weights are not all within ±1e\\+09"):
        checkpoint.load_model(folder)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"width": 10**4}, "its weights belong to another network"),
        ({"width": 0}, "width should be at least 1"),
        ({"attention": "wild"}, "attention should be one of released, equations"),
        ({"sample_rate": 10**30}, "invalid sizes"),
        ({"n_frames": 15}, "invalid frames"),
        ({"mean": [0.0]}, "invalid mel bins"),
        ({"std": [float("inf")] * 8}, "invalid standardiser"),
        ({"std": [1e30] * 8}, "invalid standardiser"),
        ({"mean": [-1e4] * 8}, "invalid standardiser"),
        ({"tag_threshold": [0.5, float("nan")]}, "invalid numbers"),
        ({"tag_threshold": [0.5]}, "invalid thresholds"),
        ({"classes": "ab"}, "its classes are not a list"),
        ({"classes": [1, 2]}, "invalid classes"),
        ({"training": {}}, "invalid training"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_an_impossible_card_says_why(run, changes, reason):
    change_card(run[0], **changes)
    with pytest.raises(SedmtlError, match=f"is damaged .*{reason}"):
        checkpoint.load_model(run[0])


def test_a_flipped_bit_of_the_state_is_noticed(tmp_path):
    """torch itself checks no checksum and would load another tensor."""
    state.save_state(tmp_path, {"weights": torch.ones(500)})
    path = tmp_path / "last.pt"
    content = bytearray(path.read_bytes())
    content[content.index(b"\0\0\x80?" * 10) + 6] ^= 1
    path.write_bytes(content)
    assert not torch.load(path, weights_only=True)["weights"].eq(1).all()
    with pytest.raises(SedmtlError, match=r"last\.pt is damaged"):
        state.load_state(tmp_path)


RECIPE = {
    "data": "snr_10", "fold": 1, "model": "2apae", "attention": "released",
    "time_attention": "dense", "reconstruction": "relu", "alpha": 0.001, "width": 32,
    "epochs": 5, "seed": 0, "n_parameters": 7, "lr": 1e-3, "config": "mixing: {}",
}  # fmt: skip


def test_a_recipe_comes_back_and_an_edited_one_is_noticed(tmp_path):
    runs.write_run(tmp_path, RECIPE)
    assert runs.read_run(tmp_path) == RECIPE
    path = tmp_path / "run.yaml"
    path.write_text(path.read_text().replace("fold: 1", "fold: 2"))
    with pytest.raises(SedmtlError, match=r"run\.yaml is damaged"):
        runs.read_run(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"fold": -1}, {"fold": "1"}, {"model": "gpt"}, {"data": "../x"}, {"data": "snr_x"},
     {"alpha": "none"}, {"alpha": 2**1024 - 1}, {"config": 7}, {"seed": None}],
)  # fmt: skip
def test_an_impossible_recipe_is_damaged(tmp_path, change):
    runs.write_run(tmp_path, {**RECIPE, **change})
    with pytest.raises(SedmtlError, match=r"run\.yaml is damaged"):
        runs.read_run(tmp_path)


def test_other_features_are_refused_in_the_users_words(tmp_path):
    before, now = ({**RECIPE, "store_digest": letter * 64} for letter in "ab")
    runs.write_run(tmp_path, before)
    with pytest.raises(SedmtlError, match="trained with log-mels of SHA-256 aaaaaaaa, now bbbbbbb"):
        run_folder.is_done(tmp_path, now, resume=True)


@pytest.mark.parametrize("data", ["snr_-5", "snr_2.5", "snr_1e-05", "clips"])
def test_data_have_the_names_of_their_stores(tmp_path, data):
    runs.write_run(tmp_path, {**RECIPE, "data": data})
    assert runs.read_run(tmp_path)["data"] == data


def test_the_newest_record_says_how_many_epochs_there_were(tmp_path):
    assert runs.n_epochs_done(tmp_path) == 0
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n')
    assert runs.n_epochs_done(tmp_path) == 2


def test_an_empty_folder_is_not_a_trained_network(tmp_path):
    with pytest.raises(SedmtlError, match="sedmtl train"):
        checkpoint.load_model(tmp_path)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_state_cannot_run_code(tmp_path):
    for write in (
        lambda path, thing: torch.save({"network": thing}, path),
        lambda path, thing: path.write_bytes(pickle.dumps(thing)),
    ):
        write(tmp_path / "last.pt", Malicious(tmp_path / "pwned"))
        with pytest.raises(SedmtlError, match="damaged"):
            state.load_state(tmp_path)
        assert not (tmp_path / "pwned").exists()


def test_a_state_that_cannot_be_written_leaves_the_old_one(tmp_path):
    state.save_state(tmp_path, {"history": [1]})
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        state.save_state(tmp_path, {"history": lambda: None})
    assert state.load_state(tmp_path) == {"history": [1]}


def test_the_newest_finished_run_is_found(card, tmp_path):
    for age, name in enumerate(["newest", "older", "oldest"]):
        folder = tmp_path / name
        folder.mkdir()
        runs.write_run(folder, {"fold": 1})
        checkpoint.save_model(folder, card, card.build_network().state_dict())
        os.utime(folder / "model.safetensors", (1e9 - age, 1e9 - age))
    runs.write_run(tmp_path / "unfinished", {"fold": 1})
    assert runs.find_run(tmp_path, None).name == "newest"
    assert [run.name for run in runs.finished_runs(tmp_path)] == ["oldest", "older", "newest"]


def test_a_run_is_found_by_name_and_by_path(run):
    folder, _ = run
    assert runs.find_run(folder.parent, folder.name) == folder
    assert runs.find_run(folder / "elsewhere", str(folder)) == folder


def test_a_run_that_does_not_exist_is_named_with_the_known_ones(run):
    with pytest.raises(SedmtlError, match=r"no run 'x'.*known here"):
        runs.find_run(run[0].parent, "x")
    with pytest.raises(SedmtlError, match="train one with"):
        runs.find_run(run[0] / "empty", None)


@pytest.mark.parametrize("text", ["", "- a", "a: [", "just words", "sha256", "- sha256", "7"])
def test_a_broken_run_yaml_is_one_sentence(tmp_path, text):
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(SedmtlError, match=r"run\.yaml is damaged"):
        runs.read_run(tmp_path)


def test_a_state_that_unpacks_to_more_than_its_file_is_refused(tmp_path):
    """1 MB of packed zeros could unpack to 1 GB."""
    state.save_state(tmp_path, {"network": {"weight": torch.zeros(10_000)}})
    path = tmp_path / "last.pt"
    assert len(state.load_state(tmp_path)["network"]["weight"]) == 10_000
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with pytest.raises(SedmtlError, match=r"last\.pt is damaged"):
        state.load_state(tmp_path)
