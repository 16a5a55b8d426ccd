from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest
import torch

from sedmtl import checkpoint
from sedmtl.checkpoint import ModelCard
from sedmtl.errors import SedmtlError
from sedmtl.postprocess import PostProcessing


@pytest.fixture
def card():
    return ModelCard(
        model="2apae",
        attention="equations",
        time_attention="local",
        reconstruction="linear",
        width=2,
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
    checkpoint.write_run(tmp_path, {"fold": 1})
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


def test_an_empty_folder_is_no_trained_network(tmp_path):
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
            checkpoint.load_state(tmp_path)
        assert not (tmp_path / "pwned").exists()


def test_a_state_that_cannot_be_written_leaves_the_old_one(tmp_path):
    checkpoint.save_state(tmp_path, {"history": [1]})
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        checkpoint.save_state(tmp_path, {"history": lambda: None})
    assert checkpoint.load_state(tmp_path) == {"history": [1]}


def test_the_newest_finished_run_is_found(card, tmp_path):
    for age, name in enumerate(["newest", "older", "oldest"]):
        folder = tmp_path / name
        folder.mkdir()
        checkpoint.write_run(folder, {"fold": 1})
        checkpoint.save_model(folder, card, card.build_network().state_dict())
        os.utime(folder / "model.safetensors", (1e9 - age, 1e9 - age))
    checkpoint.write_run(tmp_path / "unfinished", {"fold": 1})
    assert checkpoint.find_run(tmp_path, None).name == "newest"
    assert [run.name for run in checkpoint.finished_runs(tmp_path)] == ["oldest", "older", "newest"]


def test_a_run_is_found_by_name_and_by_path(run):
    folder, _ = run
    assert checkpoint.find_run(folder.parent, folder.name) == folder
    assert checkpoint.find_run(folder / "elsewhere", str(folder)) == folder


def test_a_run_that_does_not_exist_is_named_with_the_known_ones(run):
    with pytest.raises(SedmtlError, match=r"no run 'x'.*known here"):
        checkpoint.find_run(run[0].parent, "x")
    with pytest.raises(SedmtlError, match="train one with"):
        checkpoint.find_run(run[0] / "empty", None)


@pytest.mark.parametrize("text", ["", "- a", "a: [", "just words"])
def test_a_broken_run_yaml_is_one_sentence(tmp_path, text):
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(SedmtlError, match=r"run\.yaml is damaged"):
        checkpoint.read_run(tmp_path)
