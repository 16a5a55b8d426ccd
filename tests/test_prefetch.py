from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from sedmtl.runtime.workers.prefetch import prefetch

PATIENCE_S = 10.0


@pytest.mark.parametrize("n_workers", [1, 2, 5])
@pytest.mark.parametrize("n_ahead", [1, 3])
def test_items_come_in_order_with_the_number_of_their_source(n_workers, n_ahead):
    sources = [range(n) for n in (3, 0, 7, 1, 0, 2)]
    with prefetch(sources, n_workers, n_ahead) as items:
        assert list(items) == [(k, item) for k, source in enumerate(sources) for item in source]


def test_without_sources_there_are_no_items():
    with prefetch([], 2, 2) as items:
        assert list(items) == []


def test_items_are_made_by_other_threads_ahead_of_time():
    second_begun = threading.Event()

    def second():
        second_begun.set()
        yield threading.get_ident()

    with prefetch([iter([0]), second()], 2, 1) as items:
        next(items)
        assert second_begun.wait(PATIENCE_S)
        assert next(items)[1] != threading.get_ident()


def test_no_more_items_wait_than_requested():
    """The source is endless: without a limit this would fill the memory and never return."""
    made: dict[int, int] = {}

    def endless(number):
        item = 0
        while True:
            made[number] = item = item + 1
            yield item

    sources = (endless(number) for number in iter(int, 1))
    with prefetch(sources, 2, 4) as items:
        for _ in range(10):
            next(items)
        assert made[0] <= 10 + 4 + 1  # taken, waiting, and one held by the thread
        assert all(count <= 4 + 1 for number, count in made.items() if number > 0)
    assert len(made) <= 2


def test_sources_are_opened_as_they_are_needed():
    opened = []

    def sources():
        for number in range(100):
            opened.append(number)
            yield [number]

    with prefetch(sources(), 2, 1) as items:
        next(items)
        assert len(opened) <= 4


def test_an_error_is_raised_where_the_item_would_have_come():
    def broken():
        yield 1
        raise ValueError("two is missing")

    with prefetch([[0], broken(), [3]], 3, 5) as items:
        assert [next(items), next(items)] == [(0, 0), (1, 1)]
        with pytest.raises(ValueError, match="two is missing"):
            next(items)


def test_leaving_the_block_ends_the_threads():
    n_before = threading.active_count()
    with suppress(KeyboardInterrupt), prefetch([iter(int, 1)] * 5, 3, 2) as items:
        next(items)
        raise KeyboardInterrupt
    assert threading.active_count() == n_before
