"""Auxiliary tasks: how they are chosen, what they need, what they learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import COARSE_YAML, Project, write_noise, write_project
from networks import ON_LOGMEL
from sklearn.metrics import mean_poisson_deviance

from sedmtl.config import load_config
from sedmtl.inference.runs import read_run
from sedmtl.models.heads import Sizes
from sedmtl.models.registry import settings_class
from sedmtl.report.project.learning import charts_of
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import EventTable, Store
from sedmtl.training import known
from sedmtl.training.batches import Batch
from sedmtl.training.config import TrainConfig
from sedmtl.training.grid.plan import plan_runs
from sedmtl.training.known import POLYPHONY, SCENE, Knowledge, at_scores
from sedmtl.training.losses import over_clips
from sedmtl.training.start import open_trainer
from sedmtl.training.tasks import TASKS, read_tasks, task_class
from sedmtl.training.tasks.count import Count
from sedmtl.training.weights import TaskWeights

CPU = torch.device("cpu")
HEADS = ("count", "active", "scene")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A project with features of mixtures whose scenes are of two classes."""
    made = Project(write_project(tmp_path_factory.mktemp("tasks"), COARSE_YAML))
    for k in range(24):
        write_noise(made.folder / "scenes" / "loud" / f"{k:02d}.wav", 100 + k, 2.0)
    for arguments in (("mix", "--snr", 20), ("features",)):
        assert made.run(*arguments).exit_code == 0
    return made


@pytest.fixture(scope="module")
def store(mixed):
    with Store(mixed.work / "features" / "snr_20.h5", "logmel") as opened:
        yield opened


def config_of(**changes):
    values = {"data": "snr_20", "fold": 1, "width": 2, "epochs": 3, "batch_size": 6}
    return TrainConfig.of({**values, "model": "pooled", "alpha": 0, **changes})


def trainer_of(mixed, store, **changes):
    project = load_config(mixed.folder / "data.yaml")
    return open_trainer(config_of(**changes), store, CPU, project)


@pytest.mark.parametrize(
    ("words", "tasks"),
    [
        ([], {}),
        (["count"], {"count": 0.1}),
        (["scene=auto", "count=0.5"], {"count": 0.5, "scene": "auto"}),
        (["reconstruct"], {"reconstruct": 0.001}),
        (["reconstruct=0"], {"reconstruct": 0.0}),
    ],
)
def test_a_task_has_the_weight_that_is_given_or_its_own(words, tasks):
    found = read_tasks(words)
    assert found == tasks
    assert list(found) == list(tasks), "in the order of the family, whatever was typed"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--task", "cuont"], "no task is called 'cuont': did you mean 'count'?"),
        (["--task", "count=-1"], "the weight of task count should be a number from 0, auto or dwa"),
        (["--task", "count=much"], "found 'much'"),
        (["--task", "count=nan"], "found 'nan'"),
        (["--task", "count="], "found ''"),
        (["--task", "count", "--task", "count=1"], "--task count is given twice"),
        (["--alpha", "1", "--task", "reconstruct=1"], "--alpha is the weight of --task reconstr"),
        (["--model", "gap", "--task", "reconstruct"], "--task reconstruct is for 2apae, pooled"),
    ],
)
def test_an_impossible_task_is_one_sentence(mixed, one_sentence, options, sentence):
    one_sentence(mixed.run("train", "--fold", 1, *options), sentence)
    assert not (mixed.work / "runs").exists()


def test_help_names_the_whole_family(mixed):
    words = mixed.run("train", "--help").output.replace("│", " ").replace(",", " ")
    words = words.replace(".", " ").split()
    first = words.index("auxiliary")
    assert set(TASKS) <= set(words[first : first + 20])


def test_a_grid_gives_a_task_to_the_networks_that_can_have_it():
    tasks = {"reconstruct": 0.5, "scene": 0.1}
    runs = plan_runs({"tasks": tasks}, {}, [Path("snr_20.h5")], ["gap", "2apae"], ["0"], [0], ["1"])
    assert [run.tasks for run in runs] == [{"scene": 0.1}, tasks]


def test_runs_that_know_more_than_weak_labels_say_so_in_their_names():
    assert config_of(tasks={"scene": 1}).known == ()
    told = config_of(tasks={"count": 1, "active": 0.5}, supervision="strong")
    assert told.known == ("frames", "times")
    assert told.name == "pooled_snr20_fold1_alpha0_seed0_knownframes_knowntimes_count1_active0.5"
    assert TrainConfig.of(told.plain()) == told


def test_a_run_from_before_the_other_tasks_is_read_unchanged():
    values = {"data": "snr_20", "fold": 1, "model": "2apae", "alpha": 0.01, "seed": 0}
    config = TrainConfig.of({**values, "reconstruction": "linear"})
    assert config.tasks == {"reconstruct": 0.01}
    assert config.name == "2apae_snr20_fold1_alpha0.01_seed0_linear"
    assert "tasks" not in config.plain()


@pytest.mark.parametrize("task", ["count", "active", "scene"])
def test_recordings_without_what_a_task_needs_are_refused_by_its_name(mixed, store, task):
    """The user's own recordings have neither events nor scenes."""
    own = SimpleNamespace(
        path="clips.h5",
        attributes=store.attributes,
        row_shape=store.row_shape,
        classes=store.classes,
        clips=replace(store.clips, events=EventTable.empty(), scene=[""] * len(store)),
    )
    asked = dict.fromkeys(task_class(task).arrays, f"--task {task}")
    project = load_config(mixed.folder / "data.yaml")
    needed = "scene of every clip" if task == "scene" else "events of every training clip"
    with pytest.raises(SedmtlError, match=f"--task {task} needs the {needed}"):
        Knowledge.of_store(asked, own, np.arange(len(store)), project)


def test_scenes_of_one_class_alone_teach_nothing(trained, one_sentence):
    result = trained.run("train", "--fold", 1, "--task", "scene", "--model", "pooled")
    one_sentence(result, "--task scene needs scenes of at least two classes", "'noise'")


def test_a_run_is_not_resumed_with_other_scenes(mixed, monkeypatch, one_sentence):
    """There are as many as before, so the weights would fit."""
    small = ("--model", "pooled", "--alpha", 0, "--width", 2, "--name", "scenes")
    command = ("train", "--fold", 1, "--task", "scene", *small)
    assert mixed.run(*command, "--epochs", 1).exit_code == 0
    assert read_run(mixed.work / "runs" / "scenes")["scenes"] == ["loud", "noise"]
    load, names = known.load_scenes, {"loud": "street", "noise": "noise"}

    def renamed(project):
        return [replace(scene, label=names[scene.label]) for scene in load(project)]

    monkeypatch.setattr(known, "load_scenes", renamed)
    more = (*command, "--epochs", 2, "--resume")
    one_sentence(mixed.run(*more), "on the scenes loud, noise,", "now has noise, street", "--name")
    monkeypatch.undo()
    assert mixed.run(*more).exit_code == 0


def test_polyphony_is_the_number_of_events_in_each_frame(store):
    """Computed from the table of events; two simultaneous events of a class count as two."""
    rows = np.arange(len(store))
    knowledge = Knowledge.of_store({POLYPHONY: "--task count"}, store, rows, None)
    count = knowledge.of(store.clips.events, store.clips.scene)[POLYPHONY](rows)
    edges_s, events = knowledge.grid.edges_s, store.clips.events
    centre_s = (edges_s[:-1] + edges_s[1:]) / 2
    expected = np.zeros_like(count)
    for clip, onset_s, offset_s in zip(
        events.mixture, events.onset_s, events.offset_s, strict=True
    ):
        expected[clip] += (centre_s >= onset_s - 1e-6) & (centre_s < offset_s - 1e-6)
    np.testing.assert_array_equal(count, expected)
    names = ("mixture", "label", "onset_s", "offset_s", "snr_db")
    columns = {name: np.repeat(getattr(events, name), 2) for name in names}
    twice = EventTable(**columns, source=[""] * len(columns["label"]))
    np.testing.assert_array_equal(knowledge.of(twice, [])[POLYPHONY](rows), 2 * expected)


def test_the_loss_of_counts_is_the_deviance_of_poisson_and_least_at_the_mean():
    task = Count(settings_class("pooled")(2), Sizes(3, 4, 4))
    generator = np.random.default_rng(0)
    count, expected = generator.integers(0, 5, (2, 6)), generator.uniform(0.1, 4, (2, 6))
    loss = task.loss(*(torch.from_numpy(each).float() for each in (expected, count)), "none")
    # scikit-learn's is twice as much.
    reference = mean_poisson_deviance(count.ravel(), expected.ravel()) / 2
    assert loss.mean().item() == pytest.approx(reference, rel=1e-4)
    target = torch.tensor([[0.0, 0.0, 3.0]])
    mean = torch.full((1, 3), 1.0, requires_grad=True)
    (slope,) = torch.autograd.grad(task.loss(mean, target, "mean"), mean)
    assert slope.sum().item() == pytest.approx(0, abs=1e-5)
    assert task.loss(target, target, "mean").item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("model", ON_LOGMEL)
@pytest.mark.parametrize("n_frames", [24, 25])
def test_every_network_has_every_head_at_its_own_frame_rate(model, n_frames):
    sizes = Sizes(3, n_frames, 16, ("a", "b"))
    settings = settings_class(model)(width=2)
    output = settings.build(*sizes[:3])(torch.randn(2, n_frames, 16), reconstruct=False)
    n_scores = output.frame.shape[-1]
    arrays = {POLYPHONY: torch.randint(0, 3, (2, n_frames)), SCENE: torch.tensor([0, 1])}
    batch = Batch(torch.arange(2), arrays, torch.zeros(2, 3))
    for name in HEADS:
        task = task_class(name)(settings, sizes)
        predicted = task(output).float()
        assert predicted.shape == ((2, 2) if name == "scene" else (2, n_scores))
        each = task.loss(predicted, task.target(batch), "none")
        whole = task.loss(predicted, task.target(batch), "mean")
        # Every clip, a row of a recording, has the same weight.
        torch.testing.assert_close(over_clips(each, torch.arange(2)), whole)
        nothing = Batch(torch.arange(0), {n: a[:0] for n, a in arrays.items()}, torch.zeros(0, 3))
        assert task.loss(predicted[:0], task.target(nothing), "sum").item() == 0


def test_known_frames_are_pooled_like_the_scores():
    count = torch.tensor([[0.0, 1, 2, 0, 3, 3]])
    assert at_scores(count, 3).tolist() == [[1, 2, 3]]
    assert at_scores(count[:, None], 3).tolist() == [[[1, 2, 3]]]
    assert at_scores(count[:0], 3).shape == (0, 3)


@pytest.mark.parametrize("remix", [None, {"mixtures_per_epoch": 12}])
def test_the_heads_learn_with_the_detection_and_resume(mixed, store, remix):
    asked = {"tasks": {"count": 0.5, "active": "auto", "scene": "dwa"}, "remix": remix, "lr": 0.01}
    whole, stopped, resumed = (trainer_of(mixed, store, **asked) for _ in range(3))
    records = list(whole.fit(lambda _: None))
    assert [record["scene_alpha"] for record in records[:2]] == [1, 1] != records[2]["scene_alpha"]
    for name in HEADS:
        assert records[-1][f"{name}_loss"] < records[0][f"{name}_loss"]
    next(stopped.fit(lambda _: None))
    resumed.restore(stopped.state())
    list(resumed.fit(lambda _: None))
    for key in records[-1].keys() - {"seconds", "seconds_waiting_for_data"}:
        assert resumed.history[-1][key] == records[-1][key]


def test_scenes_are_those_of_the_corpus_in_the_store_and_in_new_mixtures(mixed, store):
    trainer = trainer_of(mixed, store, tasks={"scene": 1}, remix={"mixtures_per_epoch": 8})
    stored = next(trainer.loader.run([np.arange(len(store))])).arrays[SCENE]
    expected = [name.startswith("noise/") for name in store.clips.scene]
    np.testing.assert_array_equal(stored == 1, expected)  # after 'loud'
    drawn = next(trainer.remixer.loader(1).run([np.arange(8)])).arrays[SCENE]
    names = [trainer.remixer.draw(1, number).scene.name for number in range(8)]
    np.testing.assert_array_equal(drawn == 1, [name.startswith("noise/") for name in names])


def test_a_task_whose_loss_falls_slowly_weighs_more():
    """Liu et al. (CVPR 2019), equation 7, for K = 3: the ratio of two of its weights."""
    weights = TaskWeights({"a": "dwa", "b": "dwa", "c": 0.5}, {})
    weights.follow([{"detection": 2.0, "a": 1.0, "b": 1.0}], "detection")
    assert weights.alphas() == {"c": 0.5, "a": 1.0, "b": 1.0}
    epochs = [{"detection": 2.0, "a": 1.0, "b": 4.0}, {"detection": 1.0, "a": 0.9, "b": 1.0}]
    weights.follow(epochs, "detection")
    ratio = np.array([0.5, 0.9, 0.25])
    published = 3 * np.exp(ratio / 2) / np.exp(ratio / 2).sum()
    found = weights.alphas()
    np.testing.assert_allclose([found["a"], found["b"]], published[1:] / published[0], rtol=1e-6)
    assert found["a"] > 1 > found["b"]
    assert weights(torch.tensor(1.0), dict.fromkeys("abc", torch.tensor(1.0))).item() == (
        pytest.approx(1 + found["a"] + found["b"] + 0.5)
    )
    weights.follow([{"detection": 1.0, "a": 0.0, "b": 1.0}, epochs[1]], "detection")
    assert weights.alphas()["a"] < 10, "a loss that was 0 does not rule"


def test_the_report_draws_the_weights_that_change():
    records = [
        {"epoch": n, "loss": 1.0, "alpha": 0.001, "count_alpha": 0.1 * n, "scene_alpha": 0.2,
         "validation": {"micro_p": 0.5}, "held_out": {"micro_p": 0.4}}
        for n in (1, 2, 3)
    ]  # fmt: skip
    network = SimpleNamespace(records=[records, records], row=SimpleNamespace(epochs=(3, 3)))
    charts = charts_of(network)
    assert [chart.title for chart in charts] == ["training loss", "micro-P", "weight of count"]
    assert [len(line.points) for line in charts[-1].lines] == [3, 3]
    assert "weight from 0.100 to 0.300" in charts[-1].text
