"""A Dask cluster of two processes gives the bytes of threads, and may lose workers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import soundfile
from cluster_work import fail_at_three, kill_always, kill_once, set_version, square
from conftest import Project, write_project
from distributed import Client, LocalCluster

import sedmtl
from sedmtl.runtime import progress
from sedmtl.runtime.documents import unsealed
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.workers import cluster as cluster_module
from sedmtl.runtime.workers import shards
from sedmtl.runtime.workers.cluster import open_workers
from sedmtl.runtime.workers.shards import map_arrays, scratch_beside
from sedmtl.runtime.workers.threads import map_in_order

pytestmark = pytest.mark.slow

SNRS_DB = (0, 20)


# Workers are forked with everything imported, because several are killed and replaced.
CLUSTER = """
import sys
from distributed import LocalCluster
from distributed.utils import get_mp_context
n = int(sys.argv[1])
get_mp_context().set_forkserver_preload(
    ["distributed", "sedmtl.data.mixing", "sedmtl.features.extraction"]
)
with LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address=":0") as cluster:
    print(cluster.scheduler_address, flush=True)
    input()
"""


@contextmanager
def cluster_of(n_workers, scratch):
    """Run a cluster in a process of its own, to be killed; yields its scheduler's address.

    `close` of distributed 2025.10 may wait forever for a killed worker, and on a busy machine its
    event loop may not start within its 10 s.
    """
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", CLUSTER, str(n_workers)],
        env=os.environ
        | {
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
            "DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD": "forkserver",
            "DASK_TEMPORARY_DIRECTORY": str(scratch),
            "PYTHONPATH": str(Path(__file__).parent),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process.stdout.readline().strip()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Two worker processes with one thread each; an item that kills two of them is given up."""
    with cluster_of(2, tmp_path_factory.mktemp("dask")) as scheduler:
        yield scheduler


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The results of threads."""
    made = Project(write_project(tmp_path_factory.mktemp("local")))
    for command in (("mix", "--stems"), ("features",)):
        assert made.run(*command, "--workers", 1).exit_code == 0
    return made


def stores_of(project, folder):
    return {path.name: path.read_bytes() for path in (project.work / folder).glob("*.h5")}


def scratch_in(folder):
    return sorted(path.name for path in folder.rglob(".*.scratch"))


def test_mixtures_and_features_have_the_bytes_of_those_made_by_threads(address, project, local):
    assert project.run("mix", "--stems", "--scheduler", address).exit_code == 0
    assert stores_of(project, "mixtures") == stores_of(local, "mixtures")
    result = project.run("features", "--scheduler", address)
    assert result.exit_code == 0, result.output
    assert stores_of(project, "features") == stores_of(local, "features")
    assert len(stores_of(project, "features")) == len(SNRS_DB)
    for name in ("plan.yaml", "plan.tsv"):
        made, expected = (each.work / "mixtures" / name for each in (project, local))
        assert made.read_bytes() == expected.read_bytes()
    assert not scratch_in(project.work)


def test_relative_paths_reach_the_same_files(address, project, local, monkeypatch):
    monkeypatch.chdir(project.folder)  # but not for the workers
    run = Project(Path()).run
    assert run("mix", "--stems", "--scheduler", address).exit_code == 0
    assert run("features", "--scheduler", address).exit_code == 0
    assert stores_of(project, "features") == stores_of(local, "features")


def test_own_recordings_have_the_bytes_of_those_made_by_threads(address, project):
    names = sorted((project.folder / "events").rglob("*.wav"))[:10]
    rows = [f"{path.relative_to(project.folder)},tone,{1 + n % 4}" for n, path in enumerate(names)]
    (project.folder / "clips.csv").write_text("\n".join(["filename,labels,fold", *rows]))
    config = project.folder / "data.yaml"
    config.write_text(
        config.read_text().replace("corpus:", "corpus:\n  clips: {csv: clips.csv, root: .}")
    )
    made = []
    for options in (("--workers", 1), ("--scheduler", address)):
        result = project.run("features", *options)
        assert result.exit_code == 0, result.output
        made.append(stores_of(project, "features"))
        shutil.rmtree(project.work)
    assert made[0] == made[1]
    assert list(made[0]) == ["clips.h5"]


def test_predictions_are_those_of_this_process(address, trained, tmp_path):
    sounds = sorted((trained.work / "mixtures" / "snr_20").glob("*.wav"))
    whole = np.concatenate([soundfile.read(path)[0] for path in sounds])
    for n, seconds in enumerate((0.7, 2.0, 3.1, 4.0)):
        soundfile.write(tmp_path / f"{n}.wav", whole[: round(8000 * seconds)], 8000)
    (tmp_path / "broken.wav").write_text("no audio")
    entries = {}
    for name, options in (("here", ("--workers", 2)), ("there", ("--scheduler", address))):
        out = tmp_path / name
        result = trained.run("predict", tmp_path, "--out", out, "--threshold", 0.1, *options)
        assert result.exit_code == 1
        assert "broken.wav" in result.stderr
        assert "1 of 5 recordings cannot be used" in result.stderr
        lines = (out / "journal.jsonl").read_text().splitlines()
        entries[name] = [unsealed(json.loads(line)) for line in lines]
    assert sum(len(entry["events"]) for entry in entries["here"][1:]) > 4
    assert_same(entries["there"], entries["here"])


def assert_same(found, expected):
    """Compare scores to 1e-6, because other batches change the last bits."""
    if isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-6)
    elif isinstance(expected, dict | list):
        assert len(found) == len(expected)
        for key in expected if isinstance(expected, dict) else range(len(expected)):
            assert_same(found[key], expected[key])
    else:
        assert found == expected


def test_a_scheduler_that_dies_while_waiting_for_a_worker_is_one_sentence(
    address, project, one_sentence, monkeypatch
):
    def gone(*_):
        raise CancelledError

    monkeypatch.setattr(cluster_module, "_check_versions", gone)
    one_sentence(
        project.run("mix", "--scheduler", address),
        f"lost the connection to the scheduler {address}",
    )


def test_a_worker_that_dies_has_its_items_done_by_another(address, tmp_path):
    work = partial(kill_once, marker=tmp_path / "killed")
    with open_workers(1, address) as workers:
        assert list(map_in_order(work, range(20), workers)) == [n * n for n in range(20)]
    assert (tmp_path / "killed").exists()


def test_mixtures_are_the_same_if_a_worker_is_killed(address, project, local, monkeypatch):
    killed = []
    with Client(address, set_as_default=False) as client:
        victim = next(iter(client.run(os.getpid).values()))

    @contextmanager
    def killing(what, *_):
        def advance(_):
            if what.startswith("mixing") and not killed:
                killed.append(victim)
                os.kill(victim, signal.SIGKILL)

        yield advance

    monkeypatch.setattr(progress, "progress", killing)
    result = project.run("mix", "--stems", "--scheduler", address)
    assert result.exit_code == 0, result.output
    assert killed == [victim]
    assert stores_of(project, "mixtures") == stores_of(local, "mixtures")
    assert not scratch_in(project.work)


def test_an_item_that_kills_every_worker_is_one_sentence(address):
    with (
        pytest.raises(SedmtlError, match="died on the same item"),
        open_workers(1, address) as workers,
    ):
        list(map_in_order(kill_always, range(1), workers))


def test_an_error_of_a_worker_is_the_same_sentence_as_locally(address, project, one_sentence):
    with (
        open_workers(1, address) as workers,
        pytest.raises(SedmtlError, match=r"^item 3 is broken: mend it$"),
    ):
        list(map_in_order(fail_at_three, range(9), workers))
    path = project.folder / "scenes" / "noise" / "07.wav"
    soundfile.write(path, np.zeros(16_000), 8000)
    result = project.run("mix", "--scheduler", address)
    one_sentence(result, f"{path} is silent: expected a scene")
    assert not scratch_in(project.work)


def test_an_interrupted_mix_leaves_no_shard_and_resumes(address, project, local, monkeypatch):
    taken, take = [], shards._take_shard

    def stop_at_the_fourth(shard):
        # The events' blocks come first: 24 in blocks of 4.
        if len(taken) == 6 + 3:
            raise KeyboardInterrupt
        taken.append(shard)
        return take(shard)

    monkeypatch.setattr(shards, "_take_shard", stop_at_the_fourth)
    result = project.run("mix", "--stems", "--scheduler", address)
    assert result.exit_code == 130, result.output
    assert not scratch_in(project.work)
    assert not list((project.work / "mixtures").glob("*.h5"))
    taken.clear()
    monkeypatch.setattr(shards, "_take_shard", lambda shard: taken.append(shard) or take(shard))
    assert project.run("mix", "--stems", "--scheduler", address).exit_code == 0
    assert len(taken) == 6 + 3
    assert stores_of(project, "mixtures") == stores_of(local, "mixtures")


def test_leftovers_of_a_killed_run_are_removed_and_not_used(address, project, local):
    left = project.work / "mixtures" / f".snr_0.h5.{'0' * 32}.scratch"
    left.mkdir(parents=True)
    (left / "events.f32").write_bytes(bytes(4_000))
    np.savez(left / f"{'1' * 32}.npz", waveform=np.zeros((2, 4, 16_000), np.int16))
    assert project.run("mix", "--stems", "--scheduler", address).exit_code == 0
    assert not left.exists()
    assert stores_of(project, "mixtures") == stores_of(local, "mixtures")


def test_scratch_folders_of_killed_runs_are_removed_first_and_the_own_one_last(tmp_path):
    for name in ("a.h5", "b.h5"):
        left = tmp_path / f".{name}.{'0' * 32}.scratch"
        left.mkdir()
        (left / "events.f32").write_bytes(bytes(4_000))
    with scratch_beside(tmp_path / "a.h5") as own:
        assert scratch_in(tmp_path) == [own.name]
    assert scratch_in(tmp_path) == []


def test_at_most_two_shards_per_thread_wait(address, tmp_path):
    taken = []

    def items():
        for number in range(40):
            taken.append(number)
            yield number

    with open_workers(1, address) as workers:
        results = map_arrays(square, items(), workers, tmp_path)
        for n_asked, arrays in enumerate(results, start=1):
            assert arrays["square"] == (n_asked - 1) ** 2
            assert arrays["pid"] != os.getpid()
            assert len(taken) <= n_asked + 2 * workers.n_threads()
            assert len(list(tmp_path.glob("*.npz"))) <= 2 * workers.n_threads()
    assert n_asked == 40
    assert not list(tmp_path.iterdir())


def test_a_folder_that_a_worker_does_not_see_is_one_sentence(address, tmp_path):
    with (
        open_workers(1, address) as workers,
        pytest.raises(SedmtlError, match=r"a worker cannot write .*nowhere.* at the same path"),
    ):
        list(map_arrays(square, range(3), workers, tmp_path / "nowhere"))


@pytest.mark.parametrize("spoiled", ["another", "none"])
def test_a_shard_that_does_not_arrive_is_one_sentence(tmp_path, spoiled):
    if spoiled == "another":
        (tmp_path / "a.npz").mkdir()
    with pytest.raises(SedmtlError, match=r"cannot read .*npz from a worker.* at the same path"):
        shards._take_shard(tmp_path / "a.npz")


def test_an_unreachable_scheduler_is_one_sentence(project, one_sentence, monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_S", 0.3)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
        one_sentence(project.run("mix", "--scheduler", address), address, "no Dask scheduler")
    assert not project.work.exists()


@pytest.mark.parametrize("address", ["host", "http://host:8786", ""])
def test_an_invalid_address_is_one_sentence(project, one_sentence, address):
    result = project.run("features", "--scheduler", address)
    one_sentence(result, f"--scheduler {address}", "such as tcp://host:8786")


def test_a_cluster_without_workers_is_one_sentence_after_a_wait(
    project, one_sentence, monkeypatch, tmp_path
):
    monkeypatch.setattr(cluster_module, "WAIT_S", 0.3)
    with cluster_of(0, tmp_path / "dask") as empty:
        result = project.run("mix", "--scheduler", empty)
        one_sentence(result, "has no worker", f"dask worker {empty}")
    assert "waiting up to 0.3 s for a worker" in result.stderr


def test_a_cluster_of_another_version_is_one_sentence(address, project, one_sentence, monkeypatch):
    expected = sedmtl.__version__
    monkeypatch.setattr(sedmtl, "__version__", "99.0")
    result = project.run("mix", "--scheduler", address)
    one_sentence(result, f"expected sedmtl 99.0 as here, found {expected}; install")


def test_a_worker_of_another_version_that_joins_later_is_one_sentence(address):
    here = sedmtl.__version__
    with Client(address, set_as_default=False) as client, open_workers(1, address) as workers:
        client.run(set_version, "99.0")
        try:
            with pytest.raises(SedmtlError, match=rf"expected sedmtl {here} as here, found 99.0"):
                list(map_in_order(fail_at_three, range(2), workers))
        finally:
            client.run(set_version, here)
        assert list(map_in_order(fail_at_three, range(2), workers)) == [0, 1]


def test_a_scheduler_that_dies_is_one_sentence(monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_S", 0.5)  # and to come back

    def work_on(scheduler):
        with open_workers(1, scheduler.scheduler_address) as workers:
            for _ in map_in_order(fail_at_three, [0] * 9, workers):
                scheduler.close()

    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as scheduler,
        pytest.raises(
            SedmtlError, match=r"lost the connection to the scheduler .*; finished work is kept"
        ),
    ):
        work_on(scheduler)


def test_without_dask_the_sentence_names_the_extra(project, one_sentence, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = project.run("mix", "--scheduler", "tcp://host:8786")
    one_sentence(result, "pip install 'sedmtl[dask]'")


def test_threads_and_a_scheduler_together_are_one_sentence(project, one_sentence):
    result = project.run("mix", "--workers", 2, "--scheduler", "tcp://host:8786")
    one_sentence(result, "--workers", "leave one of them out")


def test_a_silent_port_is_one_sentence(monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SedmtlError, match="does not answer; expected a Dask"):  # noqa: SIM117
            with open_workers(1, address):
                pass


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", bytes(4096), b""]
)
def test_a_port_of_another_service_is_one_sentence(project, one_sentence, answer):
    with socket.create_server(("127.0.0.1", 0)) as other:

        def serve():
            with other.accept()[0] as connection:
                connection.sendall(answer)
                connection.recv(1)

        Thread(target=serve, daemon=True).start()
        address = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        result = project.run("features", "--scheduler", address)
        one_sentence(result, f"--scheduler {address}: no Dask scheduler answers")
