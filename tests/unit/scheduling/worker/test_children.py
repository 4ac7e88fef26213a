"""Children of the pool are watched again after the broker has returned."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from celery.concurrency.asynpool import AsynPool

from scheduling.worker.children import ChildPool, ChildTaskPool


class Hub:
    """Hub that records its readers, and refuses invalid descriptors as kombu's does."""

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
    """Return a process with a descriptor that signals its end."""
    reading, writing = os.pipe()
    yield SimpleNamespace(_popen=SimpleNamespace(sentinel=reading))
    os.close(reading)
    os.close(writing)


def test_running_child_is_watched_and_ended_child_is_not(child: Any) -> None:
    pool, hub = object.__new__(ChildPool), Hub()
    pool._track_child_process(child, hub)
    assert hub.watched == [child._sentinel_poll]
    pool._untrack_child_process(child, hub)
    # It stays in the pool's list until it is replaced; the broker returns before that.
    pool._track_child_process(child, hub)
    assert hub.watched == []


def test_worker_uses_the_child_pool() -> None:
    assert ChildTaskPool.Pool is ChildPool


def test_methods_that_the_pool_overrides_are_celerys() -> None:
    assert {"_create_worker_process", "_track_child_process"} <= vars(AsynPool).keys()


def test_adopted_children_are_those_of_the_running_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    running = MagicMock(adopted_children=lambda: frozenset({7}))
    monkeypatch.setattr(ChildTaskPool, "Pool", lambda *_, **__: running)
    pool = ChildTaskPool(1, threads=False)
    assert pool.adopted_children() == frozenset()
    pool.on_start()
    assert pool.adopted_children() == frozenset({7})
