"""`sedmtl train` through the command line."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml
from conftest import COARSE_YAML, Project, invoke, write_noise, write_project, write_tone

import sedmtl
from sedmtl.inference.checkpoint import load_model
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import Store, read_scores
from sedmtl.training import train as train_stage
from sedmtl.training.known import PRESENCE, Knowledge
from sedmtl.training.state import load_state

pytestmark = pytest.mark.slow

SMALL = ("--width", 2, "--batch-size", 6, "--precision", "float32")
RUN = "2apae_snr20_fold1_alpha0.001_seed0"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A project with one feature store, to be copied."""
    made = Project(write_project(tmp_path_factory.mktemp("template"), COARSE_YAML))
    for arguments in (("mix", "--snr", 20), ("features",)):
        assert made.run(*arguments).exit_code == 0
    return made.folder


@pytest.fixture
def featured(template, tmp_path):
    """A project with one feature store."""
    return Project(shutil.copytree(template, tmp_path, dirs_exist_ok=True))


def test_run_yaml_holds_everything_that_decides_the_run(trained):
    settings = yaml.safe_load((trained.work / "runs" / RUN / "run.yaml").read_text())
    expected = {
        "data": "snr_20", "fold": 1, "model": "2apae", "attention": "released", "width": 2,
        "alpha": 0.001, "epochs": 3, "batch_size": 6, "lr": 0.001, "seed": 0,
        "precision": "float32",
    }  # fmt: skip
    assert expected.items() <= settings.items()
    assert yaml.safe_load(settings["config"])["mixing"]["sample_rate"] == 8000


def test_metrics_are_recorded_for_both_parts_every_epoch(trained):
    lines = (trained.work / "runs" / RUN / "metrics.jsonl").read_text().splitlines()
    for number, record in enumerate(map(json.loads, lines), start=1):
        assert record["epoch"] == number
        for part in ("validation", "held_out"):
            assert 0 <= record[part]["micro_p"] <= 1
            assert record[part].keys() == {"micro_p", "macro_p", "auc", "n_classes_scored"}
        assert record["loss"] == pytest.approx(
            record["detection_loss"] + 0.001 * record["reconstruction_loss"], rel=1e-5
        )


def test_the_standardiser_never_saw_the_held_out_fold(trained):
    card, _ = load_model(trained.work / "runs" / RUN)
    with Store(trained.work / "features" / "snr_20.h5", "logmel") as store:
        training = np.flatnonzero(store.clips.fold != 1)
        frames = store.read(training).reshape(-1, store.row_shape[-1]).astype(np.float64)
    np.testing.assert_allclose(card.mean, frames.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(card.std, frames.std(axis=0), rtol=1e-5)


def test_scores_are_of_the_held_out_fold_and_of_no_other(trained):
    scores = read_scores(trained.work / "runs" / RUN / "scores.h5")
    with Store(trained.work / "features" / "snr_20.h5", "logmel") as store:
        rows = np.flatnonzero(store.clips.fold == 1)
        assert list(scores.name) == [store.clips.name[row] for row in rows]
        np.testing.assert_array_equal(scores.target, store.clips.target[rows])
        prior = store.clips.target[store.clips.fold != 1].mean(axis=0)
    np.testing.assert_allclose(scores.prior, prior, rtol=1e-6)


def test_a_finished_run_is_not_trained_again(featured):
    first = featured.run("train", "--fold", 1, "--epochs", 1, *SMALL)
    weights = featured.work / "runs" / RUN / "model.safetensors"
    before = weights.stat().st_mtime_ns
    again = featured.run("train", "--fold", 1, "--epochs", 1, *SMALL)
    assert first.exit_code == again.exit_code == 0
    assert "already finished" in again.stderr
    assert weights.stat().st_mtime_ns == before


def test_a_finished_run_can_continue_for_more_epochs(featured):
    for epochs in (1, 2):
        result = featured.run("train", "--fold", 1, "--epochs", epochs, "--resume", *SMALL)
        assert result.exit_code == 0, result.output
    assert len(load_state(featured.work / "runs" / RUN)["history"]) == 2


def test_another_snr_and_a_raised_version_do_not_prevent_resuming(featured, monkeypatch):
    command = ("train", "--snr", 20, "--fold", 1, "--resume", *SMALL)
    assert featured.run(*command, "--epochs", 1).exit_code == 0
    config = featured.folder / "data.yaml"
    config.write_text(config.read_text().replace("snrs_db: [0, 20]", "snrs_db: [0, 20, 30]"))
    monkeypatch.setattr(sedmtl, "__version__", "99.0")
    for again in (("mix",), ("features",), (*command, "--epochs", 2)):
        result = featured.run(*again)
        assert result.exit_code == 0, result.output
    assert len(load_state(featured.work / "runs" / RUN)["history"]) == 2


def test_an_interrupted_run_is_not_resumed_to_fewer_epochs_than_it_has(
    featured, one_sentence, monkeypatch
):
    """It would have the scores of an epoch beyond its last one."""
    save = train_stage._save_epoch

    def stop_after_the_third(run, trainer, add):
        save(run, trainer, add)
        if len(trainer.history) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(train_stage, "_save_epoch", stop_after_the_third)
    assert featured.run("train", "--fold", 1, "--epochs", 5, *SMALL).exit_code == 130
    monkeypatch.undo()
    anew = featured.run("train", "--fold", 1, "--epochs", 5, *SMALL)
    one_sentence(anew, "stopped before epoch 5", "--resume", "--force")
    fewer = featured.run("train", "--fold", 1, "--epochs", 2, *SMALL, "--resume")
    one_sentence(fewer, "for 3 epochs", "--epochs 3 or more", "--force")
    assert featured.run("train", "--fold", 1, "--epochs", 3, *SMALL, "--resume").exit_code == 0


def test_a_disk_that_is_too_small_is_reported_before_force_deletes_anything(
    featured, one_sentence, monkeypatch
):
    def full(*_):
        raise SedmtlError("1 epochs take 1.7 MB, where 1.1 MB are free")

    command = ("train", "--fold", 1, "--epochs", 1, *SMALL)
    assert featured.run(*command).exit_code == 0
    run = featured.work / "runs" / RUN
    before = {path.name: path.read_bytes() for path in run.glob("[!.]*")}
    monkeypatch.setattr(train_stage, "announce", full)
    one_sentence(featured.run(*command, "--force"), "1.1 MB are free")
    assert before == {path.name: path.read_bytes() for path in run.glob("[!.]*")}


@pytest.mark.parametrize(
    ("before", "after", "part"),
    [
        (
            "mixtures_per_fold: 6",
            "mixtures_per_fold: 5",
            "mixtures_per_fold 6, but data.yaml has 5",
        ),
        ("mixing:", "mixing:\n  seed: 3", "seed 0, but data.yaml has 3"),
        ("duration_s: 2", "duration_s: 4", "n_samples 16000, but data.yaml has 32000"),
        ("n_mels: 16", "n_mels: 8", "n_mels 16, but data.yaml has 8"),
    ],
)
def test_features_of_other_settings_than_those_of_data_yaml_are_refused(
    featured, one_sentence, before, after, part
):
    path = featured.folder / "data.yaml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    one_sentence(featured.run("train", "--fold", 1, *SMALL), part, "sedmtl features")
    assert not (featured.work / "runs").exists()


@pytest.mark.parametrize("name", ["my copy", "snr_loud"])
def test_a_store_whose_name_no_run_can_carry_is_refused_before_training(
    featured, one_sentence, name
):
    folder = featured.work / "features"
    (folder / "snr_20.h5").rename(folder / f"{name}.h5")
    result = featured.run("train", "--data", name, "--fold", 1, *SMALL)
    one_sentence(result, f"{name}.h5 has a name that cannot be part of a run's name", "rename it")
    assert not (featured.work / "runs").exists()


def test_other_settings_do_not_overwrite_a_run(featured, one_sentence):
    featured.run("train", "--fold", 1, "--epochs", 1, *SMALL)
    clash = featured.run("train", "--fold", 1, "--epochs", 1, *SMALL, "--lr", 0.01)
    one_sentence(clash, "lr 0.001, now 0.01", "--name", "--force")
    named = featured.run(
        "train", "--fold", 1, "--epochs", 1, *SMALL, "--lr", 0.01, "--name", "fast"
    )
    assert named.exit_code == 0
    assert (featured.work / "runs" / "fast" / "model.safetensors").is_file()
    (run,) = (featured.work / "runs").glob("2apae_*")
    mine = [run / name for name in ("notes.txt", "takes/a.wav", "model.onnx", ".notes.txt.part")]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    (run / "scores.h5").write_text("of the run before")
    forced = featured.run("train", "--fold", 1, "--epochs", 1, *SMALL, "--lr", 0.01, "--force")
    assert forced.exit_code == 0
    assert [path.read_text() for path in mine] == ["mine"] * 4
    assert featured.run("eval", run.name).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--fold", 7), ("no fold 7", "1, 2, 3, 4")),
        (("--fold", 1, "--snr", 5), ("no store 'snr_5'", "snr_20")),
        (("--fold", 1, "--data", "snr20"), ("no store 'snr20'", "did you mean 'snr_20'")),
        (("--fold", 1, "--model", "2apa"), ("no network", "2apae")),
        (("--fold", 1, "--gpus", 400), ("--gpus 400", "found")),
    ],
)
def test_an_impossible_request_is_one_sentence_and_leaves_no_run(
    trained, tmp_path, one_sentence, arguments, parts
):
    config = yaml.safe_load((trained.folder / "data.yaml").read_text())
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "features").symlink_to(trained.work / "features")
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(config))
    here = Project(tmp_path)
    one_sentence(here.run("train", *arguments, *SMALL), *parts)
    assert not list(here.work.glob("runs/*/model*"))


def test_without_a_store_train_says_how_to_make_one(project, one_sentence):
    one_sentence(project.run("train", "--fold", 1), "no store", "sedmtl features")


def test_one_of_several_stores_must_be_named(project, one_sentence):
    project.run("mix")
    project.run("features")
    one_sentence(project.run("train", "--fold", 1), "several stores", "--snr 0 or --snr 20")


@pytest.mark.parametrize("name", ["../evil", "a/b", ".hidden", ""])
def test_a_run_name_that_is_not_a_folder_name_is_wrong_usage(trained, name):
    assert trained.run("train", "--fold", 2, "--name", name, *SMALL).exit_code == 2


def test_features_of_other_settings_are_refused(featured, one_sentence):
    config = featured.folder / "data.yaml"
    config.write_text(config.read_text().replace("n_mels: 16", "n_mels: 8"))
    result = featured.run("train", "--fold", 1, *SMALL)
    one_sentence(result, "made with n_mels 16", "data.yaml has 8", "run 'sedmtl features' again")


@pytest.mark.parametrize(
    "arguments",
    [["--fold", "x"], ["--fold", "1", "--lr", "-1"], [], ["--fold", "1", "--epochs", "0"]],
)
def test_wrong_usage_exits_with_2(arguments):
    assert invoke(["train", *arguments]).exit_code == 2


STRONG = ("--recipe", "strong", "--width", 2, "--epochs", 2, "--precision", "float32")


def test_the_strong_recipe_trains_a_run_that_is_scored_and_whole(featured):
    result = featured.run("train", "--fold", 1, *STRONG)
    assert result.exit_code == 0, result.output
    (run,) = (featured.work / "runs").glob("pooled*")
    assert run.name == "pooled_snr20_fold1_alpha0_seed0_strong"
    settings = yaml.safe_load((run / "run.yaml").read_text())
    assert settings["schedule"] == "cosine"
    assert settings["remix"]["clips_per_mixture"] == [1, 2]
    assert "pooled/2" in featured.run("eval").stdout
    assert invoke(["check", str(featured.work)]).exit_code == 0


def test_with_no_fold_held_out_everything_is_trained_on_and_no_score_is_shown(
    featured, one_sentence
):
    result = featured.run("train", "--fold", "none", "--epochs", 2, *SMALL, "--tensorboard")
    assert result.exit_code == 0, result.output
    (run,) = (featured.work / "runs").iterdir()
    assert run.name == RUN.replace("fold1", "foldnone")
    assert "held out" not in result.stderr.replace(", 0 held out", "")
    assert not (run / "scores.h5").exists()
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert not any("held_out" in json.loads(line) for line in lines)
    with Store(featured.work / "features" / "snr_20.h5", "logmel") as store:
        n_validation = int(store.clips.validation.sum())
        card = json.loads((run / "model.json").read_text())
        assert card["training"]["n_train"] == len(store) - n_validation
    assert (
        "is already finished"
        in featured.run("train", "--fold", "none", "--epochs", 2, *SMALL, "--resume").stderr
    )
    assert "nothing held out" in invoke(["check", str(featured.work)]).stdout
    one_sentence(featured.run("eval"), "no finished run with a held-out fold")
    one_sentence(featured.run("eval", run.name), "was trained on all folds")
    clip = write_noise(featured.folder / "clip.wav", 1, 2.0)
    assert featured.run("predict", clip).exit_code == 0
    assert featured.run("train", "--fold", 1, "--epochs", 1, *SMALL).exit_code == 0
    result = featured.run("eval")
    assert f"left out, trained on all folds: {run.name}" in result.stderr
    assert result.exit_code == 0
    assert featured.run("report").exit_code == 0


def test_an_option_overrides_the_recipe(featured):
    options = ("--model", "crnn", "--no-remix", "--batch-size", 5, "--schedule", "plateau")
    result = featured.run("train", "--fold", 1, *STRONG, *options)
    assert result.exit_code == 0, result.output
    (run,) = (featured.work / "runs").glob("*")
    settings = yaml.safe_load((run / "run.yaml").read_text())
    assert settings["model"] == "crnn"
    assert settings["batch_size"] == 5
    assert not {"schedule", "remix"} & settings.keys()  # as in the paper


def test_the_first_line_announces_the_cost(featured):
    result = featured.run("train", "--fold", 1, "--epochs", 1, *SMALL)
    first = result.stderr.splitlines()[0]
    assert first.startswith(f"{RUN}: 1 epoch, about ")
    assert first.endswith(" of memory")


def test_the_epochs_of_a_cosine_cannot_be_changed_afterwards(featured, one_sentence):
    assert featured.run("train", "--fold", 1, *STRONG).exit_code == 0
    longer = ("--recipe", "strong", "--width", 2, "--epochs", 3, "--precision", "float32")
    one_sentence(featured.run("train", "--fold", 1, *longer), "epochs 2, now 3", "--name")


def test_other_corpora_than_those_of_the_store_are_not_remixed(featured, one_sentence):
    write_noise(featured.folder / "scenes" / "noise" / "zz.wav", 99, 2.0)
    one_sentence(
        featured.run("train", "--fold", 1, *STRONG), "made from other corpora", "sedmtl mix"
    )
    assert not list((featured.work / "runs").glob("*/run.yaml"))


def test_own_recordings_need_events_for_known_frames_and_an_option_to_be_mixed(
    tmp_path, one_sentence
):
    made = Project(write_project(tmp_path))
    rows = ["filename,labels,fold"]
    for k, path in enumerate(sorted((tmp_path / "events").rglob("*.wav"))):
        rows.append(f"{path.relative_to(tmp_path / 'events')},{path.parent.name},{k % 4 + 1}")
    (tmp_path / "clips.csv").write_text("\n".join([*rows, ""]))
    text = (tmp_path / "data.yaml").read_text()
    own = "corpus:\n  clips: {csv: clips.csv, root: events}\nmixing:\n  sample_rate: 8000\n"
    own += "  duration_s: 1\n" + text[text.index("features:") :]
    (tmp_path / "data.yaml").write_text(own)
    assert made.run("features").exit_code == 0
    one_sentence(
        made.run("train", "--fold", 1, *STRONG, "--supervision", "strong"),
        "needs the events of every training clip", "corpus.clips.strong",
    )  # fmt: skip
    for option, has in (((), False), (("--remix", "--name", "remixed"), True)):
        result = made.run("train", "--fold", 1, *STRONG, *option)
        assert result.exit_code == 0, result.output
        run = made.folder / result.stdout.strip()
        assert ("remix" in yaml.safe_load((run / "run.yaml").read_text())) == has
    assert (made.work / "runs" / "pooled_clips_fold1_alpha0_seed0_strong").is_dir()


def test_a_remixed_run_is_not_resumed_with_other_audio(featured, monkeypatch, one_sentence):
    with monkeypatch.context() as patch:
        stop = train_stage.save_state

        def stop_after_one(run, state):
            stop(run, state)
            raise SedmtlError("stopped")

        patch.setattr(train_stage, "save_state", stop_after_one)
        assert featured.run("train", "--fold", 1, *STRONG).exit_code == 1
    clip = sorted((featured.folder / "events").rglob("*.wav"))[0]
    write_tone(clip, 1234.0, 0.3)
    one_sentence(featured.run("train", "--fold", 1, *STRONG, "--resume"), "mixtures of other audio")
    assert featured.run("train", "--fold", 1, *STRONG, "--force").exit_code == 0


def test_known_frames_are_trained_on_and_named(featured):
    result = featured.run("train", "--fold", 1, *STRONG, "--supervision", "strong")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip().endswith("_strong_knownframes")
    with Store(featured.work / "features" / "snr_20.h5", "logmel") as store:
        rows = np.arange(len(store))
        known = Knowledge.of_store({PRESENCE: "--supervision strong"}, store, rows, None)
        presence = known.of(store.clips.events, store.clips.scene)[PRESENCE](rows)
    # A clip has a class exactly if one of its frames has it.
    np.testing.assert_array_equal(presence.max(axis=2), store.clips.target)
