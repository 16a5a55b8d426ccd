"""Parallel work on many items: in order, with bounded memory, stopped by an exception."""

from __future__ import annotations

import os
import threading
from itertools import count

import pytest

from sedmtl.runtime.workers.threads import all_cores, map_in_order, threads


@pytest.mark.parametrize("n_workers", [1, 2, 7])
def test_results_are_those_of_map(n_workers):
    with threads(n_workers) as workers:
        found = list(map_in_order(lambda x: x * x, range(50), workers))
    assert found == [x * x for x in range(50)]


def test_no_items_give_no_results():
    with threads(3) as workers:
        assert list(map_in_order(str, [], workers)) == []


def test_the_order_is_kept_when_a_later_item_is_done_first():
    second_is_done = threading.Event()

    def work(item):
        if item == 0:
            assert second_is_done.wait(10)
        if item == 1:
            second_is_done.set()
        return item

    with threads(2) as workers:
        assert list(map_in_order(work, range(6), workers)) == list(range(6))


@pytest.mark.parametrize("n_workers", [1, 3])
def test_endless_items_are_taken_only_as_results_are_requested(n_workers):
    taken = []

    def items():
        for number in count():
            taken.append(number)
            yield number

    with threads(n_workers) as workers:
        results = map_in_order(str, items(), workers)
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

    with threads(2) as workers:
        results = map_in_order(work, range(1000), workers)
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match="item 3 is broken"):
            next(results)
    assert max(done) <= 3 + 2 * 2


def test_threads_added_later_get_items():
    n_threads, taken = [1], []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    with threads(1) as one:
        results = map_in_order(str, items(), one._replace(n_threads=lambda: n_threads[0]))
        next(results)
        assert len(taken) == 3
        n_threads[0] = 5
        next(results)
        assert len(taken) == 1 + 1 + 2 * 5
        assert len(list(results)) == 98


def test_leaving_the_block_drops_the_items_that_no_thread_has_begun():
    begun, go_on = [], threading.Event()

    def work(item):
        begun.append(item)
        assert go_on.wait(10)

    def interrupted():
        with threads(1) as workers:
            *_, last = [workers.submit(work, item) for item in range(20)]
            last.add_done_callback(lambda _: go_on.set())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(begun) <= 1


def test_all_cores_are_those_of_this_process():
    assert 1 <= all_cores() <= (os.cpu_count() or 1)
