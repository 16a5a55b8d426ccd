"""The cost of a grid of runs is estimated beforehand."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from conftest import COARSE_YAML, Project, write_noise, write_project

from sedmtl.config import load_config
from sedmtl.features.targets import target_arrays
from sedmtl.inference.runs import read_run
from sedmtl.runtime import free_memory
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import RowArray
from sedmtl.training import cost
from sedmtl.training.config import TrainConfig
from sedmtl.training.cost import Cost, choose_micro_batch, measure_cost
from sedmtl.training.grid.forecast import Forecast, describe, forecast
from sedmtl.training.grid.planned import workloads
from sedmtl.training.start import resident_bytes
from sedmtl.training.workload import Workload

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
SMALL = ("--width", 2, "--epochs", 2, "--precision", "float32")


@pytest.fixture(scope="module")
def featured(tmp_path_factory):
    made = Project(write_project(tmp_path_factory.mktemp("forecast"), COARSE_YAML))
    made.run("mix", "--snr", 20)
    made.run("features")
    return made


def left(model, n_epochs, seconds):
    return Forecast(
        TrainConfig.of({"data": "snr_10", "fold": 1, "model": model}), n_epochs, seconds
    )


def test_a_dry_run_trains_nothing_and_names_every_network(featured):
    result = featured.run("train", "--fold", "all", "--model", "all", "--dry-run", *SMALL)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "2apae", "gap", "gmp", "gwrp", "atrous", "total"
    ]  # fmt: skip
    assert "20 of 20 runs" in lines[-1]
    assert not (featured.work / "runs").exists()


def test_finished_runs_cost_nothing(featured):
    assert featured.run("train", "--fold", 1, *SMALL).exit_code == 0
    result = featured.run("train", "--fold", 1, "--fold", 2, "--dry-run", *SMALL)
    assert "1 of 2 runs" in result.stdout.splitlines()[-1]
    done = featured.run("train", "--fold", 1, "--dry-run", *SMALL)
    assert done.stdout.splitlines()[-1] == "total: 0 of 1 runs, 0 s"


def test_more_epochs_of_a_finished_run_cost_only_these(featured):
    more = ("--width", 2, "--epochs", 5, "--precision", "float32")
    result = featured.run("train", "--fold", 1, "--dry-run", *more)
    assert "1 of 1 runs" in result.stdout.splitlines()[-1]


def recipe_of(fold):
    return TrainConfig.of({"data": "snr_20", "fold": fold, "width": 2, "epochs": 2})


def epochs_left(featured, *folds, run_name=None, force=False):
    recipes, device = [recipe_of(fold) for fold in folds], torch.device("cpu")
    forecasts = forecast(
        load_config(featured.folder / "data.yaml"), recipes, device, run_name, force=force
    )
    assert all((each.seconds > 0) == (each.n_epochs_left > 0) for each in forecasts)
    return [each.n_epochs_left for each in forecasts]


def test_discarded_runs_cost_their_full_time(featured):
    assert featured.run("train", "--fold", 3, *SMALL).exit_code == 0
    assert epochs_left(featured, 3, 4) == [0, 2]
    assert epochs_left(featured, 3, 4, force=True) == [2, 2]


def test_a_run_is_looked_for_by_the_name_it_is_given(featured):
    assert featured.run("train", "--fold", 4, "--name", "mine", *SMALL).exit_code == 0
    assert epochs_left(featured, 4) == [2]
    assert epochs_left(featured, 4, run_name="mine") == [0]
    assert epochs_left(featured, 4, run_name="other") == [2]


def test_a_grid_has_no_single_name(featured):
    with pytest.raises(SedmtlError, match="--name is for a single run: this grid has 2"):
        epochs_left(featured, 1, 2, run_name="mine")


@pytest.mark.parametrize("epoch", ["null", "1e999", "-7", "9" * 400])
def test_broken_records_do_not_break_the_forecast(featured, epoch):
    run = featured.work / "runs" / "broken"
    run.mkdir(parents=True, exist_ok=True)
    (run / "metrics.jsonl").write_text(f'{{"epoch": {epoch}}}\n')
    (n_left,) = epochs_left(featured, 2, run_name="broken")
    assert n_left == (0 if epoch[0] == "9" else 2)


def test_costs_add_up_and_are_shared_by_parallel_runs(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr("sedmtl.training.grid.forecast.free_bytes", lambda _: 1)
    forecasts = [left("2apae", 50, 7200), left("2apae", 0, 0), left("gap", 10, 1200)]
    assert describe(forecasts, 4) == [
        "2apae: 1 of 2 runs to do, 2 h 00 min",
        "gap: 1 of 1 runs to do, 20 min 00 s",
        "total: 2 of 3 runs, 4 at once, 35 min 00 s",
    ]


def test_an_impossible_grid_is_one_sentence(featured, one_sentence):
    one_sentence(featured.run("train", "--fold", 9, "--dry-run", *SMALL), "no fold 9")


def test_a_dry_run_heeds_force_and_name(featured, one_sentence):
    dry = ("train", "--fold", 1, "--dry-run", *SMALL)
    assert featured.run("train", "--fold", 1, "--resume", *SMALL).exit_code == 0
    for options, n_to_do in (((), 0), (("--force",), 1), (("--name", "new"), 1)):
        result = featured.run(*dry, *options)
        assert f"total: {n_to_do} of 1 runs" in result.stdout
    one_sentence(featured.run(*dry, "--fold", 2, "--name", "new"), "--name is for a single run")


def load_of(n_frames):
    arrays = {"logmel": RowArray((n_frames, 16), np.float32), **target_arrays(3, n_frames, 16)}
    return Workload(3, arrays, n_rows=150, n_train=100, n_scored=50)


LOAD = load_of(60)


def cost_of(load=LOAD, **changes):
    values = {"data": "snr_20", "fold": 1, "width": 2, "batch_size": 4, **changes}
    return measure_cost(TrainConfig.of(values), load, CPU)


def test_memory_grows_with_the_clips_their_frames_and_the_network():
    small, wide, long = cost_of(), cost_of(width=4), cost_of(load_of(120))
    assert small.n_bytes(LOAD, 8) - small.n_bytes(LOAD, 4) == 4 * small.window_bytes
    recordings = LOAD._replace(n_windows=3)
    assert small.n_bytes(recordings, 4) == small.n_bytes(LOAD, 12)
    assert wide.window_bytes > 1.5 * small.window_bytes
    assert long.window_bytes == pytest.approx(2 * small.window_bytes, rel=0.15)


def test_an_epoch_takes_its_clips_times_the_time_of_one():
    config = TrainConfig.of({"data": "snr_20", "fold": 1})
    assert Cost(0.5, 0.1, 0, 0).epoch_s(config, LOAD) == pytest.approx(100 * 0.5 + 50 * 0.1)
    assert cost_of().train_s > 0
    assert cost_of(load_of(4), batch_size=1).score_s > 0


@pytest.mark.parametrize(("brief_s", "n_steps"), [(np.inf, 2), (0, 4)])
def test_only_long_training_is_timed_at_more_sizes_than_one(monkeypatch, brief_s, n_steps):
    """The sizes are 16 of 60 frames, whose first step measures memory, a clip and a batch."""
    steps, take_step = [], cost._seconds_of_step
    monkeypatch.setattr(cost, "_seconds_of_step", lambda each: steps.append(1) or take_step(each))
    monkeypatch.setattr(cost, "BRIEF_S", brief_s)
    monkeypatch.setattr(cost, "ENOUGH_S", np.inf)
    cost_of()
    assert len(steps) == n_steps


@pytest.mark.parametrize(("free", "n_at_once"), [(1000, None), (100, 12), (41, 3), (20, 2), (1, 1)])
def test_a_batch_is_halved_until_memory_holds_it(monkeypatch, capfd, free, n_at_once):
    """24 clips of 5 bytes each and weights of 3; four fifths of free memory may be used."""
    monkeypatch.setattr(cost, "_measure_memory", lambda *_: (3, 5))
    monkeypatch.setattr(cost, "free_bytes", lambda _: free)
    config = TrainConfig.of({"data": "snr_20", "fold": 1})
    assert choose_micro_batch(config, LOAD, CPU) == n_at_once
    said = capfd.readouterr().err
    assert ("the gradients add up" in said) == (n_at_once is not None)
    assert ("smaller --width" in said) == (free == 1)


def test_a_store_that_stays_on_the_gpu_leaves_less_for_a_batch(monkeypatch):
    """150 clips of 60 x 16 float32, and 24 of 5,000 bytes that just fit without them."""
    store_bytes, asked = 150 * 60 * 16 * 4, []
    monkeypatch.setattr(cost, "_measure_memory", lambda *_: (0, 5000))
    monkeypatch.setattr(cost, "free_bytes", lambda _: store_bytes + 100_000)
    config = TrainConfig.of({"data": "snr_20", "fold": 1})
    assert choose_micro_batch(config, LOAD, CPU) is None, "on the CPU it stays in its file"
    monkeypatch.setattr(cost, "fits", lambda n_bytes, _: asked.append(n_bytes) or True)
    assert choose_micro_batch(config, LOAD, CPU) == 12
    assert asked == [store_bytes]
    # The sources of new mixtures also stay there.
    assert choose_micro_batch(config, LOAD, CPU, 50_000) == 6
    assert asked[1:] == [store_bytes, 50_000]


def test_a_gpu_keeps_all_that_a_run_reads_of_its_store():
    """150 clips of 60 x 16 float32; likewise without the scene; 3 classes alone in float16."""
    logmel, times = 150 * 60 * 16 * 4, 150 * 60

    def held(**changes):
        config = TrainConfig.of({"data": "snr_20", "fold": 1, "model": "pooled", **changes})
        return resident_bytes(config, LOAD.arrays, 3, LOAD.n_rows)

    assert held() == logmel
    assert held(tasks={"count": 1}) == logmel + times
    assert held(tasks={"denoise": 1, "separate": 1}) == logmel + logmel + 3 * logmel // 2
    assert held(supervision="strong", tasks={"scene": 1}) == logmel + 3 * times + 150 * 8
    new = {"mixtures_per_epoch": 8}
    assert held(tasks={"denoise": 1, "active": 1}, remix=new) == logmel + times


def test_a_dry_run_of_a_fitted_batch_has_the_memory_of_its_parts(featured, monkeypatch):
    free = 10**6
    for module in ("cost", "grid.forecast"):
        monkeypatch.setattr(f"sedmtl.training.{module}.free_bytes", lambda _: free)
    monkeypatch.setattr(cost, "_measure_memory", lambda *_: (0, 10**5))
    dry = ("train", "--fold", "all", "--seed", 9, "--dry-run", *SMALL)
    whole, fitted = (featured.run(*dry, *more) for more in ((), ("--batch-size", "auto")))
    assert "2.4 MB of memory, but 1.0 MB is free: use --batch-size auto" in whole.stdout
    assert "0.6 MB of memory\n" in fitted.stdout
    assert fitted.stderr.count("the gradients add up") == 1
    free = 10**4
    fitted = featured.run(*dry, "--batch-size", "auto")
    assert "is free: a smaller --width needs less" in fitted.stdout
    assert "use --batch-size auto" not in fitted.stdout


def test_a_run_in_parts_reports_and_records_them_and_resumes_in_the_same_parts(
    featured, monkeypatch, one_sentence
):
    command = ("train", "--fold", 2, "--name", "parts", "--batch-size", "auto", *SMALL)
    monkeypatch.setattr("sedmtl.training.train.choose_micro_batch", lambda *_: 5)
    assert featured.run(*command).exit_code == 0
    recorded = read_run(featured.work / "runs" / "parts")
    assert (recorded["batch_size"], recorded["micro_batch"]) == (24, 5)
    monkeypatch.setattr("sedmtl.training.train.choose_micro_batch", lambda *_: 1 / 0)
    more = featured.run(*command, "--epochs", 3, "--resume")
    assert more.exit_code == 0, more.output
    assert read_run(featured.work / "runs" / "parts")["micro_batch"] == 5
    whole = featured.run("train", "--fold", 2, "--name", "parts", *SMALL)
    one_sentence(whole, "--batch-size auto with micro-batches of 5, now none")


def test_without_a_store_the_cost_follows_from_data_yaml(featured, tmp_path, one_sentence):
    planned = Project(tmp_path)
    (tmp_path / "data.yaml").write_text((featured.folder / "data.yaml").read_text())
    grid = ("train", "--snr", 0, "--snr", 20, "--fold", "all", "--dry-run", *SMALL)
    result = planned.run(*grid)
    assert result.exit_code == 0, result.output
    *_, total, needed = result.stdout.splitlines()
    assert "total: 8 of 8 runs" in total
    stores = "2.4 MB of features ('sedmtl features')"
    assert needed == f"still missing: 3.8 MB of mixtures ('sedmtl mix'), {stores}"
    assert not (tmp_path / "work").exists()
    one_sentence(planned.run("train", "--snr", 0, "--fold", 5, "--dry-run"), "no fold 5", "4 folds")
    one_sentence(planned.run("train", "--fold", 1, "--dry-run"), "--snr 0 or --snr 20")
    one_sentence(planned.run("train", "--snr", 0, "--fold", 1), "no store")


def test_the_sizes_of_a_planned_store_are_those_of_the_store(featured, tmp_path):
    (tmp_path / "data.yaml").write_text((featured.folder / "data.yaml").read_text())
    made, planned = (
        workloads(load_config(folder / "data.yaml"), "snr_20", [recipe_of(1)])[1]
        for folder in (featured.folder, tmp_path)
    )
    assert planned.sizes[1:] == made.sizes[1:]
    assert planned.arrays.items() >= made.arrays.items()
    assert planned.n_train + planned.n_scored == made.n_train + made.n_scored == made.n_rows == 24
    assert planned.n_windows == made.n_windows == 1


def test_the_windows_of_long_recordings_are_counted_before_there_is_a_store(tmp_path):
    for n in range(8):
        write_noise(tmp_path / "audio" / f"{n}.wav", n, 0.5 if n % 2 else 5.0)
    rows = "".join(f"{n}.wav,x{n // 4},{1 + n % 4}\n" for n in range(8))
    (tmp_path / "clips.csv").write_text(f"filename,labels,fold\n{rows}")
    yaml = COARSE_YAML[COARSE_YAML.index("mixing:") :]
    clips = "corpus: {clips: {csv: clips.csv, root: audio}}\n"
    (tmp_path / "data.yaml").write_text(clips + yaml)
    own = Project(tmp_path)
    runs = [TrainConfig.of({"data": "clips", "fold": fold}) for fold in (1, 2)]
    planned = workloads(load_config(tmp_path / "data.yaml"), "clips", runs)
    assert own.run("features").exit_code == 0
    made = workloads(load_config(tmp_path / "data.yaml"), "clips", runs)
    assert {fold: each[2:] for fold, each in made.items()} == {
        fold: each[2:] for fold, each in planned.items()
    }
    assert planned[1].n_windows > 1


def test_the_papers_data_are_counted_before_they_are_downloaded(tmp_path):
    (tmp_path / "data.yaml").write_text(
        "corpus:\n  events: {kind: fsdkaggle2018, root: a}\n  scenes: {kind: tau2019, root: b}\n"
    )
    result = Project(tmp_path).run("train", "--snr", 10, "--fold", 1, "--dry-run", "--width", 1)
    assert result.stdout.splitlines()[-1] == (
        "still missing: 47.3 GB of recordings ('sedmtl download fsdkaggle2018 tau2019'), "
        "5.2 GB of mixtures ('sedmtl mix'), 0.7 GB of features ('sedmtl features')"
    )


@pytest.mark.parametrize(("task", "option"), [(("--task", "separate"), ("--stems",)), ((), ())])
def test_the_stores_of_a_dry_run_take_what_mix_and_features_then_announce(
    featured, tmp_path, task, option
):
    yaml = (featured.folder / "data.yaml").read_text()
    (tmp_path / "data.yaml").write_text(yaml.replace("root: ", f"root: {featured.folder}/"))
    planned = Project(tmp_path)
    dry = ("train", "--snr", 20, "--fold", 1, "--dry-run", "--model", "pooled", *SMALL, *task)
    needed = planned.run(*dry).stdout.splitlines()[-1]
    sizes = re.fullmatch(
        rf"still missing: (.+) of mixtures \('sedmtl mix{' --stems' * bool(option)}'\), "
        r"(.+) of features \('sedmtl features'\)", needed
    ).groups()  # fmt: skip
    commands = (("mix", "--snr", 20, *option), ("features",))
    said = [" ".join(planned.run(*command).stderr.split()) for command in commands]
    assert f"24 mixtures at 1 SNR: {sizes[0]} in" in said[0]
    assert re.search(rf"of 24 clips: {re.escape(sizes[1])} in", said[1])
    assert "still missing" not in planned.run(*dry).stdout


def test_a_dry_run_refuses_a_store_that_lacks_what_a_task_needs(featured, one_sentence):
    dry = ("train", "--fold", 1, "--dry-run", "--model", "pooled", *SMALL)
    one_sentence(featured.run(*dry, "--task", "denoise"), "--task denoise needs stems", "--remix")


def test_free_memory_is_the_least_that_the_system_and_its_groups_leave(tmp_path, monkeypatch):
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    monkeypatch.setattr(free_memory, "PROC", proc)
    monkeypatch.setattr(free_memory, "GROUPS", groups)
    assert free_memory.free_bytes(CPU) > 0  # the system does not report it
    job = groups / "user" / "job"
    for folder in (proc / "self", job):
        folder.mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 99 kB\nMemAvailable:      40 kB\n")
    (proc / "self" / "cgroup").write_text("0::/user/job\n")
    assert free_memory.free_bytes(CPU) == 40 * 1024
    for folder, limit in ((job, "max"), (job.parent, "30000")):
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text("20000\n")
        (folder / "memory.stat").write_text("anon 15000\ninactive_file 4000\n")
    assert free_memory.free_bytes(CPU) == 30000 - 20000 + 4000
