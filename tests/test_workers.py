"""The same work on many items: in order, with little in memory, and stopped by an exception."""

from __future__ import annotations

import os
import threading
from itertools import count

import pytest

from sedmtl.workers import all_cores, map_in_order


@pytest.mark.parametrize("n_workers", [1, 2, 7])
def test_results_are_those_of_map(n_workers):
    assert list(map_in_order(lambda x: x * x, range(50), n_workers)) == [x * x for x in range(50)]


def test_no_items_give_no_results():
    assert list(map_in_order(str, [], 3)) == []


def test_the_order_is_kept_when_a_later_item_is_done_first():
    second_is_done = threading.Event()

    def work(item):
        if item == 0:
            assert second_is_done.wait(10)
        if item == 1:
            second_is_done.set()
        return item

    assert list(map_in_order(work, range(6), 2)) == list(range(6))


@pytest.mark.parametrize("n_workers", [1, 3])
def test_endless_items_are_taken_only_as_results_are_asked_for(n_workers):
    taken = []

    def items():
        for number in count():
            taken.append(number)
            yield number

    results = map_in_order(str, items(), n_workers)
    for n_asked in range(1, 20):
        assert next(results) == str(n_asked - 1)
        assert len(taken) <= n_asked + 2 * n_workers
    results.close()


def test_the_first_exception_is_raised_and_ends_the_work():
    done = []

    def work(item):
        if item == 3:
            raise ValueError("item 3 is broken")
        done.append(item)
        return item

    results = map_in_order(work, range(1000), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="item 3 is broken"):
        next(results)
    assert max(done) <= 3 + 2 * 2


def test_all_cores_are_those_of_this_process():
    assert 1 <= all_cores() <= (os.cpu_count() or 1)
