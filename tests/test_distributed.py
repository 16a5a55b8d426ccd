"""Two gloo processes on the CPU compared with one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from two_processes import GIVEN, N_JOINED, RECIPES, make_clips, normalise, train

from sedmtl.inference.checkpoint import load_model
from sedmtl.metrics import clip as clip_metrics
from sedmtl.runtime import distributed
from sedmtl.store import read_scores

pytestmark = pytest.mark.slow

TORCHRUN = (
    sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1",
    "--nproc-per-node", "2",
)  # fmt: skip
TELL = """
import json, os, pathlib
pathlib.Path(os.environ["RANK"]).write_text(json.dumps(dict(os.environ)))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, trained):
    """The folder with the results of two processes."""
    made = tmp_path_factory.mktemp("two")
    (made / "work").mkdir()
    (made / "work" / "features").symlink_to(trained.work / "features")
    (made / "data.yaml").write_text((trained.folder / "data.yaml").read_text())
    script = Path(__file__).with_name("two_processes.py")
    command = [sys.executable, script, made, made / "data.yaml"]
    environment = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    (made / "stdout.txt").write_text(result.stdout)
    (made / "stderr.txt").write_text(result.stderr)
    return made


@pytest.fixture(scope="module")
def two(folder):
    """The results of each of two processes."""
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


@pytest.fixture(scope="module")
def one():
    """The results of a single process."""
    return {name: train(recipe) for name, recipe in RECIPES.items()}


def losses(trained):
    return [record["loss"] for record in trained["history"]]


def test_shares_are_disjoint_and_complete_and_may_be_empty(two):
    assert [found["shares"] for found in two] == [[[0, 2, 4, 6], [0]], [[1, 3, 5], []]]


def test_processes_agree_on_whether_memory_holds_a_batch(two):
    assert [found["at once"] for found in two] == [None, None]


def test_all_processes_know_the_first_ones_findings(two):
    assert [found["first"] for found in two] == ["said by 0"] * 2


@pytest.mark.parametrize("name", RECIPES)
def test_two_processes_have_the_losses_of_one(one, two, name):
    """Another order of sums: 1e-7 per step, which Adam's division magnifies."""
    for found in two:
        assert losses(found["trained"][name]) == pytest.approx(losses(one[name]), abs=1e-4)
    assert losses(one[name])[-1] < losses(one[name])[0]


def test_twelve_steps_of_two_processes_are_those_of_one(one, two):
    first, _ = two
    assert len(losses(one["24"])) == 12
    assert losses(first["trained"]["24"]) == pytest.approx(losses(one["24"]), abs=1e-4)


@pytest.mark.parametrize("name", RECIPES)
def test_both_processes_have_the_same_weights_and_metrics_bit_for_bit(two, name):
    left, right = (found["trained"][name] for found in two)
    assert left["history"] == right["history"]
    for key, value in left["weights"].items():
        torch.testing.assert_close(right["weights"][key], value, rtol=0, atol=0)


@pytest.mark.parametrize("name", RECIPES)
def test_running_statistics_agree_with_those_of_one(one, two, name):
    for key, value in one[name]["weights"].items():
        if "running" in key or "num_batches" in key:
            found = two[0]["trained"][name]["weights"][key]
            torch.testing.assert_close(found, value, rtol=1e-3, atol=1e-3)


def test_names_of_weights_are_those_of_a_plain_network(one, two):
    for name in RECIPES:
        assert list(two[0]["trained"][name]["honest"]) == list(one[name]["honest"])


def test_scores_of_the_same_weights_come_once_each_and_in_order(one, two):
    """Before training; batches of another size round the last bit differently."""
    for name in RECIPES:
        for found in two:
            expected = one[name]["before"]
            torch.testing.assert_close(
                found["trained"][name]["before"], expected, rtol=0, atol=1e-6
            )


def test_the_same_weights_have_the_same_metrics(one, two):
    _, target, _ = make_clips()
    for name in RECIPES:
        expected = clip_metrics.evaluate(target, one[name]["before"].numpy())
        for found in two:
            score = found["trained"][name]["before"].numpy()
            assert clip_metrics.evaluate(target, score) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("n", N_JOINED)
def test_joined_batch_norm_is_that_of_the_whole_batch(two, n):
    expected = normalise(n)
    for found in two:
        assert found["normalised"][n].keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(found["normalised"][n][key], value, rtol=1e-5, atol=1e-5)


def test_a_single_process_changes_nothing():
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(2))
    with distributed.session(None):
        assert (distributed.rank(), distributed.world_size()) == (0, 1)
        assert distributed.join_batch_norm(network) is network
        assert type(network[0]) is torch.nn.BatchNorm2d
        assert distributed.average_gradients(network) is network
        rows = np.arange(5)
        np.testing.assert_array_equal(distributed.share(rows), rows)
        assert distributed.add_up(torch.tensor(3.0)) == 3
        assert distributed.first(lambda: 4) == 4


def test_an_error_of_both_processes_is_one_sentence_and_leaves_no_run(folder):
    said = (folder / "refusal.txt").read_text()
    errors = [line for line in said.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, said
    assert "--batch-size 1 is too small for 2 processes" in errors[0]
    assert "defect" not in said
    assert [run.name for run in (folder / "work" / "runs").iterdir()] == ["joint"]


def test_several_gpus_train_together_the_run_that_one_process_trains(folder, trained):
    run = folder / "work" / "runs" / "joint"
    assert (folder / "stdout.txt").read_text().split() == [str(run)]
    said = (folder / "stderr.txt").read_text()
    assert said.count("epoch   3/3") == 1
    assert "float32 on 2 x cpu" in said

    (reference,) = (trained.work / "runs").glob("2apae_snr20_fold1*")
    records, expected = (
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (run, reference)
    )
    for record, other in zip(records, expected, strict=True):
        assert record["loss"] == pytest.approx(other["loss"], abs=1e-4)
    scores, others = read_scores(run / "scores.h5"), read_scores(reference / "scores.h5")
    assert list(scores.name) == list(others.name)
    np.testing.assert_allclose(scores.score["honest"], others.score["honest"], atol=1e-3)
    load_model(run)


def test_torchrun_gives_its_processes_what_ours_were_given(tmp_path):
    """Without torch in them: that would be three times its import."""
    command = [*TORCHRUN, "--no-python", sys.executable, "-c", TELL]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # of the launcher's logs
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    told = [json.loads((tmp_path / rank).read_text()) for rank in "01"]
    assert all(set(GIVEN) <= each.keys() for each in told)
    assert [each["WORLD_SIZE"] for each in told] == ["2", "2"]
    assert [each["LOCAL_RANK"] for each in told] == ["0", "1"]
    assert told[0]["MASTER_PORT"] == told[1]["MASTER_PORT"]
