"""The pool's children as they are watched anew when the broker has come back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from scheduling.worker.children import ChildPool, ChildTaskPool


class Hub:
    """Notes whom it watches, and refuses what is no descriptor as kombu's does."""

    def __init__(self) -> None:
        self.watched: list[int] = []

    def add_reader(self, fd: int | None, *_: Any) -> None:
        if fd is None:
            raise ValueError("file descriptor is None")
        self.watched.append(fd)

    def remove(self, fd: int) -> None:
        self.watched.remove(fd)


@pytest.fixture
def child() -> Iterator[Any]:
    """A process with a descriptor that tells of its end."""
    reading, writing = os.pipe()
    yield SimpleNamespace(_popen=SimpleNamespace(sentinel=reading))
    os.close(reading)
    os.close(writing)


def test_a_child_is_watched_and_a_child_that_has_ended_is_not(child: Any) -> None:
    pool, hub = object.__new__(ChildPool), Hub()
    pool._track_child_process(child, hub)
    assert hub.watched == [child._sentinel_poll]
    pool._untrack_child_process(child, hub)
    # It stands among the pool's processes until it is replaced; the broker comes back before that.
    pool._track_child_process(child, hub)
    assert hub.watched == []


def test_a_worker_has_such_a_pool() -> None:
    assert ChildTaskPool.Pool is ChildPool
