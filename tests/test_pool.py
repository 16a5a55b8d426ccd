from __future__ import annotations

import os
import signal

import pytest

from sedmtl.runtime.errors import SedmtlError
from sedmtl.training.grid.pool import Job, run_jobs


def jobs_of(folder, *scripts):
    return [
        Job(str(n), ["sh", "-c", script], folder / str(n) / "log")
        for n, script in enumerate(scripts)
    ]


def test_exit_codes_come_in_the_order_of_the_jobs(tmp_path):
    """In any order of ending; a job ended by a signal has its negative number."""
    jobs = jobs_of(tmp_path, "sleep 0.4; exit 3", "exit 0", "kill -9 $$", "exit 1")
    run_jobs(jobs, [{}] * 3)
    assert [job.exit_code for job in jobs] == [3, 0, -signal.SIGKILL, 1]


def test_one_slot_runs_jobs_in_order(tmp_path):
    order = tmp_path / "order"
    jobs = jobs_of(tmp_path, *(f"echo {n} >>{order}" for n in range(4)))
    run_jobs(jobs, [{}])
    assert [job.exit_code for job in jobs] == [0] * 4
    assert order.read_text().split() == ["0", "1", "2", "3"]


def test_slots_are_never_exceeded_and_never_idle(tmp_path):
    busy = []
    jobs = jobs_of(tmp_path, *["sleep 0.15"] * 5)

    def show():
        ended = sum(job.exit_code is not None for job in jobs)
        busy.append((sum(job.is_running for job in jobs), ended))

    run_jobs(jobs, [{}] * 2, show)
    assert max(running for running, _ in busy) == 2
    assert all(running == 2 for running, ended in busy if ended <= 3)


def test_each_slot_adds_its_environment_to_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("OURS", "kept")
    jobs = jobs_of(tmp_path, *["echo $GPU $OURS; sleep 0.2"] * 4)
    run_jobs(jobs, [{"GPU": "a"}, {"GPU": "b"}])
    lines = [job.newest_line() for job in jobs]
    assert sorted(lines) == ["a kept", "a kept", "b kept", "b kept"]


def test_a_log_gets_both_streams_appended(tmp_path):
    (job,) = jobs_of(tmp_path, "echo out; echo err >&2")
    job.log_path.parent.mkdir()
    job.log_path.write_text("before\n")
    run_jobs([job], [{}])
    assert job.log_path.read_text() == "before\nout\nerr\n"
    assert job.newest_line() == "err"


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_stops_all_jobs(tmp_path, interrupt):
    jobs = jobs_of(tmp_path, *["echo $$; exec sleep 60"] * 3)

    def show():
        if sum(job.is_running for job in jobs) == 2 and all(job.newest_line() for job in jobs[:2]):
            os.kill(os.getpid(), interrupt)

    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, [{}, {}], show)
    for job in jobs[:2]:
        with pytest.raises(ProcessLookupError):
            os.kill(int(job.newest_line()), 0)
    assert not jobs[2].log_path.exists()


def test_a_link_in_place_of_a_log_is_not_written_through(tmp_path):
    (job,) = jobs_of(tmp_path, "echo out")
    job.log_path.parent.mkdir()
    (tmp_path / "mine").write_text("mine")
    job.log_path.symlink_to(tmp_path / "mine")
    with pytest.raises(SedmtlError, match=r"cannot write .*log: expected a file, found a link"):
        run_jobs([job], [{}])
    assert (tmp_path / "mine").read_text() == "mine"
