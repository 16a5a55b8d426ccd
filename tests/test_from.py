"""`train --from`: what a run adopts from another one, and what it reports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from conftest import COARSE_YAML, Project, write_project
from networks import ON_LOGMEL

import sedmtl
from sedmtl.config import load_config
from sedmtl.inference import checkpoint
from sedmtl.inference.checkpoint import load_model, read_checkpoint
from sedmtl.inference.runs import read_run
from sedmtl.inference.weights import join_weights
from sedmtl.models.heads import Sizes, build_head
from sedmtl.models.registry import settings_class
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import Store
from sedmtl.training.config import TrainConfig
from sedmtl.training.pretrained import (
    SEEN_NAME,
    Pretrained,
    adopt,
    adopt_heads,
    class_dims,
    parent_of,
    read_pretrained,
)
from sedmtl.training.start import open_trainer

pytestmark = pytest.mark.slow

N_FRAMES, N_MELS = 16, 16
SMALL = ("--model", "pooled", "--alpha", 0, "--width", 2, "--precision", "float32")


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A project with a run to start from: fold 1 held out."""
    made = Project(write_project(tmp_path_factory.mktemp("from"), COARSE_YAML))
    for arguments in (
        ("mix", "--snr", 20),
        ("features",),
        ("train", "--fold", 1, "--epochs", 1, "--name", "parent", *SMALL),
    ):
        assert made.run(*arguments).exit_code == 0
    return made


def train(project, *arguments, fold=1, epochs=1):
    arguments = ("--fold", fold, "--epochs", epochs, "--from", "parent", *arguments)
    return project.run("train", *SMALL, *arguments)


def child(project, name, *arguments, **how):
    result = train(project, "--name", name, *arguments, **how)
    assert result.exit_code == 0, result.output
    return project.work / "runs" / name


def start_of(model, classes, n_frames=N_FRAMES, **options):
    """A network with random weights, as a run to start from."""
    settings = settings_class(model)(width=2, **options)
    torch.manual_seed(1)
    network = settings.build(len(classes), n_frames, N_MELS).eval()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5)
    card = SimpleNamespace(network=settings, classes=classes, n_frames=n_frames, model=model)
    return network, Pretrained("parent", card, network.state_dict(), "", frozenset())


def begun(start, classes, n_frames=N_FRAMES, **options):
    """A new network that has adopted the weights that it can."""
    model = start.card.model
    config = TrainConfig.of({"data": "snr_0", "fold": 1, "model": model, "width": 2, **options})
    store = SimpleNamespace(classes=classes, row_shape=(n_frames, N_MELS), encoder=None)
    network = config.network.build(len(classes), n_frames, N_MELS).eval()
    adopt(network, start, config, store)
    return network


@pytest.mark.parametrize("model", ON_LOGMEL)
def test_classes_in_another_order_have_the_same_scores(model):
    theirs, ours = ("a", "b", "c", "d"), ("d", "a", "c", "b")
    parent, start = start_of(model, theirs)
    x = torch.randn(3, N_FRAMES, N_MELS)
    with torch.inference_mode():
        expected, found = parent(x), begun(start, ours)(x)
    order = [theirs.index(label) for label in ours]
    torch.testing.assert_close(found.clip, expected.clip[:, order])
    torch.testing.assert_close(found.frame, expected.frame[:, order])


def test_known_classes_keep_their_weights_and_new_ones_start_fresh():
    theirs, ours = ("a", "b", "c"), ("new", "c", "a")
    _, start = start_of("pooled", theirs)
    network = begun(start, ours)
    state, dims = (
        network.state_dict(),
        class_dims(lambda n: start.card.network.build(n, N_FRAMES, N_MELS)),
    )
    heads = [key for key, of_classes in dims.items() if of_classes]
    assert {"class_map.weight", "class_map.bias"} <= set(heads)
    for key, tensor in state.items():
        if key in heads:
            torch.testing.assert_close(tensor[1:], start.weights[key][[2, 0]], rtol=0, atol=0)
            assert not torch.isin(tensor[0], start.weights[key]).any()
        else:
            torch.testing.assert_close(tensor, start.weights[key], rtol=0, atol=0)


def heads_of(names, classes, scenes):
    """Heads of the network `pooled`, with random weights."""
    sizes = Sizes(len(classes), N_FRAMES, N_MELS, scenes)
    settings = settings_class("pooled")(width=2)
    return {name: build_head(name, settings, sizes) for name in names}, sizes


def test_heads_of_the_same_tasks_are_adopted_and_others_say_why_not(capfd):
    theirs, ours, scenes = ("a", "b", "c"), ("new", "c", "a"), ("park", "street")
    network, start = start_of("pooled", theirs)
    given, _ = heads_of(("separate", "count", "scene"), theirs, scenes)
    start = start._replace(weights=join_weights(network, given))
    start.card.heads, start.card.scenes = tuple(given), scenes
    config = TrainConfig.of({"data": "snr_0", "fold": 1, "model": "pooled", "width": 2})

    def adopted(names, scenes):
        heads, sizes = heads_of(names, ours, scenes)
        fresh = {k: v.clone() for k, v in join_weights(network, heads).items()}
        adopt_heads(heads, start, config, ours, sizes)
        said = " ".join(capfd.readouterr().err.split())
        return heads, fresh, said

    heads, fresh, said = adopted(("separate", "denoise", "count", "scene"), scenes)
    assert "its heads of separate, count, scene are used" in said
    assert "the head of --task denoise starts from scratch: parent has none" in said
    for name in ("count", "scene"):
        for key, tensor in heads[name].state_dict().items():
            assert torch.equal(tensor, given[name].state_dict()[key])
    for key, tensor in heads["denoise"].state_dict().items():
        assert torch.equal(tensor, fresh[f"heads.denoise.{key}"])
    dims = class_dims(lambda n: heads_of(("separate",), range(n), scenes)[0]["separate"])
    assert (0,) in dims.values()
    for key, tensor in heads["separate"].state_dict().items():
        source = given["separate"].state_dict()[key]
        if dims[key] == (0,):
            assert torch.equal(tensor[1:], source[[2, 0]])
            assert torch.equal(tensor[0], fresh[f"heads.separate.{key}"][0])
        else:
            assert torch.equal(tensor, source)
    heads, fresh, said = adopted(("scene",), ("metro", "park"))
    assert "starts from scratch: parent knows the scenes park, street, expected metro, park" in said
    for key, tensor in heads["scene"].state_dict().items():
        assert torch.equal(tensor, fresh[f"heads.scene.{key}"])


def test_dense_layers_over_frames_need_as_many_frames_and_others_do_not():
    _, start = start_of("2apae", ("a", "b"))
    with pytest.raises(SedmtlError, match=r"the positions of 16 frames, found 24: .*duration_s"):
        begun(start, ("a", "b"), n_frames=24)
    _, start = start_of("2apae", ("a", "b"), time_attention="local")
    begun(start, ("a", "b"), n_frames=24, time_attention="local")


def test_options_that_change_the_tensors_are_named():
    _, start = start_of("pooled", ("a", "b"), time_pooling="attention")
    begun(start, ("a", "b"), time_pooling="attention", dropout=0.5)
    _, start = start_of("pooled", ("a", "b"))
    with pytest.raises(SedmtlError, match="add --time-pooling local"):
        begun(start, ("a", "b"), time_pooling="attention")


def test_a_frozen_encoder_is_that_of_the_run_to_the_bit_and_the_rest_learns(taught):
    run = child(taught, "frozen", "--freeze-encoder", epochs=2)
    (card, network), (parent_card, parent) = map(load_model, (run, run.with_name("parent")))
    theirs, state = parent.state_dict(), network.state_dict()
    for key, tensor in state.items():
        if key.startswith("encoder."):
            torch.testing.assert_close(tensor, theirs[key], rtol=0, atol=0)
    assert not torch.equal(state["class_map.weight"], theirs["class_map.weight"])
    assert (card.mean, card.std) == (parent_card.mean, parent_card.std)
    x = torch.randn(2, card.n_frames, card.n_mels)
    with torch.inference_mode():
        assert torch.equal(network(x).encoded, parent(x).encoded)


def test_without_freezing_the_encoder_continues_to_learn(taught):
    run = child(taught, "tuned")
    (card, network), (parent_card, parent) = map(load_model, (run, run.with_name("parent")))
    key = next(key for key in parent.state_dict() if key.startswith("encoder."))
    changed = (network.state_dict()[key] - parent.state_dict()[key]).abs().max()
    assert 0 < changed < 0.05  # a few steps of Adam at 0.001
    assert card.mean == parent_card.mean


def test_the_other_run_is_read_once(taught, monkeypatch):
    n_read = []
    read = checkpoint.read_bytes
    monkeypatch.setattr(checkpoint, "read_bytes", lambda path: n_read.append(path) or read(path))
    child(taught, "once")
    assert n_read == [taught.work / "runs" / "parent" / "model.safetensors"]


def test_the_run_is_in_the_name_in_run_yaml_and_in_the_card(taught):
    assert train(taught, "--freeze-encoder").exit_code == 0
    (run,) = taught.work.glob("runs/*_frozen_from_parent")
    settings, (card, _) = read_run(run), load_model(run)
    assert settings["from"] == card.training["from"] == "parent"
    assert settings["freeze_encoder"] is True
    assert settings["from_sha256"] == card.training["from_sha256"]
    assert len(settings["from_sha256"]) == 64
    words = TrainConfig.of(settings).words()
    assert words[words.index("--from") + 1] == "parent"
    assert "--freeze-encoder" in words


def test_a_run_is_the_same_by_name_by_path_and_from_python(taught, monkeypatch):
    named = child(taught, "called")
    monkeypatch.chdir(taught.folder)
    runs = Path("work") / "runs"
    for parent in ("parent", "work/runs/parent", runs / "parent", named.with_name("parent")):
        run = sedmtl.train(
            "data.yaml", fold=1, model="pooled", alpha=0, width=2, precision="float32", epochs=1,
            from_run=parent, name="called",
        )  # fmt: skip
        assert run.path.resolve() == named.resolve(), "it is that run, which is finished"
    assert parent_of(None, Path("work")) is None
    assert parent_of(Path("elsewhere/parent"), Path("work")) == "elsewhere/parent"


def test_a_run_starts_with_the_heads_of_the_other(taught):
    counting = ("train", "--fold", 1, "--epochs", 1, "--name", "counting", "--task", "count")
    assert taught.run(*counting, *SMALL).exit_code == 0
    values = {"data": "snr_20", "fold": 1, "model": "pooled", "alpha": 0, "width": 2}
    config = TrainConfig.of({**values, "from": "counting", "tasks": {"count": 1}})
    with Store(taught.work / "features" / "snr_20.h5", "logmel") as store:
        start = read_pretrained(taught.work / "runs", config, store)
        project = load_config(taught.folder / "data.yaml")
        trainer = open_trainer(config, store, torch.device("cpu"), project, start)
    learned = read_checkpoint(taught.work / "runs" / "counting").heads()["count"].state_dict()
    for key, tensor in trainer.heads["count"].state_dict().items():
        assert torch.equal(tensor, learned[key])


def test_a_run_resumes_exactly_and_without_its_source_run(taught):
    whole = child(taught, "whole", "--freeze-encoder", epochs=2)
    child(taught, "resumed", "--freeze-encoder")
    parent = taught.work / "runs" / "parent"
    parent.rename(parent.with_name("away"))
    try:
        resumed = child(taught, "resumed", "--freeze-encoder", "--resume", epochs=2)
    finally:
        parent.with_name("away").rename(parent)
    one, other = (load_model(run)[1].state_dict() for run in (whole, resumed))
    for key, tensor in one.items():
        torch.testing.assert_close(other[key], tensor, rtol=0, atol=0)
    assert read_run(resumed)["from_sha256"] == read_run(whole)["from_sha256"]


def test_held_out_clips_that_the_weights_have_seen_are_counted_and_reported(taught):
    """The parent held out fold 1, and learned from all clips of fold 2."""
    clean, seen = child(taught, "clean"), train(taught, "--name", "seen", fold=2)
    assert read_run(clean)["n_seen"] == 0
    assert read_run(clean.with_name("seen"))["n_seen"] == 6
    assert "trained on 6 of its held-out clips" in " ".join(seen.stderr.split())
    said = " ".join(taught.run("eval", "seen", "clean").stdout.split())
    assert "seen started from weights that were trained on 6 of its held-out clips" in said
    assert "clean started" not in said
    grandchild = taught.run(
        "train", "--fold", 1, "--from", "seen", "--epochs", 1, "--name", "grandchild", *SMALL
    )
    assert grandchild.exit_code == 0
    assert read_run(clean.with_name("grandchild"))["n_seen"] == 6  # by way of `seen`


def test_clips_that_may_have_been_seen_are_reported(taught):
    known = taught.work / "runs" / "parent" / SEEN_NAME
    text = known.read_text()
    names = json.loads(text)["recordings"]
    with Store(taught.work / "features" / "snr_20.h5", "logmel") as store:
        trained_on = np.flatnonzero(store.clips.fold != 1)
        scenes = {f"scene {store.clips.scene[clip]}" for clip in trained_on}
    assert {name for name in names if name.startswith("scene ")} == scenes
    known.write_text(text.replace(names[0], "another"))
    try:
        run = child(taught, "unknown")
    finally:
        known.write_text(text)
    assert read_run(run)["n_seen"] is None
    assert not (run / SEEN_NAME).exists()
    assert "may have been trained on" in " ".join(taught.run("eval", "unknown").stdout.split())


def test_a_fold_in_braces_selects_the_run_of_that_fold():
    values = {"data": "clips", "from": "base_fold{fold}"}
    first, second = (TrainConfig.of({**values, "fold": fold}) for fold in (1, 2))
    assert (first.parent_run, second.parent_run) == ("base_fold1", "base_fold2")
    assert first.name.endswith("_from_base_fold1")
    assert first.cross_validation == second.cross_validation
    assert TrainConfig.of(first.plain()) == first


def test_an_incompatible_run_is_one_sentence(taught, one_sentence, tmp_path):
    def failed(*arguments, project=taught):
        return project.run(
            "train", "--fold", 1, "--epochs", 1, "--precision", "float32", *arguments
        )

    one_sentence(failed("--from", "nobody", *SMALL), "no run 'nobody'")
    one_sentence(failed("--from", "parent"), "add --model pooled --width 2")
    wider = ("--model", "pooled", "--width", 3)
    one_sentence(failed("--from", "parent", *wider), "width 3", "--width 2")
    other = Project(tmp_path)
    (tmp_path / "work").mkdir()
    settings = yaml.safe_load((taught.folder / "data.yaml").read_text())
    settings["features"]["f_min"] = 100
    settings["corpus"] = {
        kind: {**corpus, "root": str(taught.folder / corpus["root"])}
        for kind, corpus in settings["corpus"].items()
    }
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(settings))
    shutil.copytree(taught.work / "mixtures", tmp_path / "work" / "mixtures")
    assert other.run("features").exit_code == 0
    path = taught.work / "runs" / "parent"
    one_sentence(failed("--from", path, *SMALL, project=other), "f_min 50", "found 100")
    one_sentence(failed("--freeze-encoder", *SMALL), "needs --from")
