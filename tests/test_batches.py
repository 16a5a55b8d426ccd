"""Batches reach the loop in order, complete and ahead of time, read or resident."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from sedmtl.runtime.errors import SedmtlError
from sedmtl.training.batches import BatchLoader, fits

N, T, F, C = 300, 5, 4, 3
LOGMEL = np.random.default_rng(0).normal(size=(N, T, F)).astype(np.float32)
TARGET = (np.random.default_rng(1).random((N, C)) < 0.4).astype(np.uint8)
CPU = torch.device("cpu")


def read(rows):
    return LOGMEL[rows]


def batches_of(n, size, seed=0):
    order = np.random.default_rng(seed).permutation(N)[:n]
    return [order[i : i + size] for i in range(0, n, size)]


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize(("n", "size"), [(N, 24), (24, 24), (1, 24), (0, 24), (7, 3)])
def test_batches_are_the_requested_rows_in_order(resident, n, size):
    wanted = batches_of(n, size)
    fed = list(BatchLoader({"logmel": read}, TARGET, CPU, resident=resident).run(wanted))
    assert len(fed) == len(wanted)
    for rows, batch in zip(wanted, fed, strict=True):
        assert np.array_equal(batch.logmel.numpy(), LOGMEL[rows])
        assert np.array_equal(batch.target.numpy(), TARGET[rows])
        assert np.array_equal(batch.rows.numpy(), rows)
        assert batch.logmel.dtype == batch.target.dtype == torch.float32


@pytest.mark.parametrize("resident", [False, True])
def test_a_batch_carries_every_array_in_its_own_type(resident):
    stems = np.arange(6 * N, dtype=np.int16).reshape(N, 2, 3)
    reads = {"logmel": read, "stems": lambda rows: stems[rows]}
    rows = np.array([7, 2])
    (batch,) = BatchLoader(reads, TARGET, CPU, resident=resident).run([rows])
    assert np.array_equal(batch.arrays["stems"].numpy(), stems[rows])
    assert batch.arrays["stems"].dtype == torch.int16
    raised = batch.standardised({"logmel": lambda logmel: logmel + 1}).arrays
    assert torch.equal(raised["logmel"], batch.logmel + 1)
    assert torch.equal(raised["stems"], batch.arrays["stems"])


@pytest.mark.parametrize("resident", [False, True])
def test_a_batch_may_be_empty(resident):
    (batch,) = BatchLoader({"logmel": read}, TARGET, CPU, resident=resident).run([np.arange(0)])
    assert batch.logmel.shape == (0, T, F)
    assert batch.target.shape == (0, C)


def test_a_batch_is_read_while_the_one_before_it_is_used():
    second_was_read = threading.Event()

    def read_and_tell(rows):
        if rows[0] == 2:
            second_was_read.set()
        return LOGMEL[rows]

    fed = BatchLoader({"logmel": read_and_tell}, TARGET, CPU, resident=False).run(
        [np.array([1]), np.array([2])]
    )
    next(fed)
    assert second_was_read.wait(10)  # before it was requested


def test_no_more_than_one_batch_is_read_ahead():
    n_read = []

    def count(rows):
        n_read.append(rows)
        return LOGMEL[rows]

    fed = BatchLoader({"logmel": count}, TARGET, CPU, resident=False).run(batches_of(N, 10))
    for n_used in range(1, 6):
        next(fed)
        assert len(n_read) <= n_used + 1
    fed.close()


def test_a_resident_store_is_read_once():
    reads = []

    def count(rows):
        reads.append(len(rows))
        return LOGMEL[rows]

    loader = BatchLoader({"logmel": count}, TARGET, CPU, resident=True)
    n_at_first = sum(reads)
    assert N <= n_at_first <= N + 1  # one more row to learn the shape
    for _ in range(3):
        list(loader.run(batches_of(N, 24)))
    assert sum(reads) == n_at_first
    assert loader.waited_s == 0


def test_the_error_of_a_damaged_row_arrives_where_its_batch_would():
    def damaged(rows):
        if 5 in rows:
            raise SedmtlError("row 5 is damaged")
        return LOGMEL[rows]

    fed = BatchLoader({"logmel": damaged}, TARGET, CPU, resident=False).run(
        [np.array([1]), np.array([5])]
    )
    assert len(next(fed).logmel) == 1
    with pytest.raises(SedmtlError, match="row 5 is damaged"):
        next(fed)


def test_waiting_is_counted():
    hold = threading.Event()
    timer = threading.Timer(0.05, hold.set)

    def slow(rows):
        hold.wait(10)
        return LOGMEL[rows]

    loader = BatchLoader({"logmel": slow}, TARGET, CPU, resident=False)
    timer.start()
    list(loader.run([np.array([1])]))
    assert 0.03 < loader.waited_s < 5


@pytest.mark.parametrize(("n_free", "expected"), [(200, True), (199, False)])
def test_half_of_the_free_memory_of_a_gpu_may_be_taken(monkeypatch, n_free, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (n_free, 10**9))
    assert fits(100, torch.device("cuda")) is expected


def test_nothing_is_resident_on_a_cpu():
    assert not fits(0, CPU)
