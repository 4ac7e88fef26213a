"""How many messages a worker fetches, as Celery asks it, and when its loop learns that there may be one more."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state
from celery.worker.consumer.tasks import Tasks
from kombu.asynchronous import Hub
from kombu.transport.redis import Channel

from scheduling.worker.celery_worker import SoftlyStoppingWorker
from scheduling.worker.slots import Permits

SLOTS = 2


@pytest.fixture
def channel() -> Any:
    """As kombu's: what it may have by the number that was set once, and whether it has asked for one."""
    return SimpleNamespace(qos=SimpleNamespace(can_consume=lambda: True), _in_poll=None)


@pytest.fixture
def worker(channel: Any) -> Any:
    """With two slots and three children."""
    made: Any = object.__new__(SoftlyStoppingWorker)
    # What Celery says of its own autoscaler, before anything else is there.
    made.max_concurrency = None
    assert made.max_concurrency is None
    made.permits = Permits(SLOTS, spare_children=1)
    made.consumer = SimpleNamespace(task_consumer=None)
    made.blueprint = SimpleNamespace(send_all=lambda *_, **__: None)
    return made


@pytest.fixture
def may_fetch(worker: Any, channel: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], bool]:
    """Whether Celery fetches another message where the worker has so many; Celery's own step is what decides."""
    consumer = SimpleNamespace(channel=channel)

    def make_consumer(*_: object, **__: object) -> object:
        worker.consumer.task_consumer = consumer
        return consumer

    conf = SimpleNamespace(worker_disable_prefetch=True, worker_eta_task_limit=None, worker_detect_quorum_queues=False)
    connection = SimpleNamespace(
        transport=SimpleNamespace(driver_type="redis"),
        default_channel=SimpleNamespace(basic_qos=lambda *_: None),
        qos_semantics_matches_spec=False,
    )
    blank = SimpleNamespace(
        app=SimpleNamespace(conf=conf, amqp=SimpleNamespace(TaskConsumer=make_consumer)),
        connection=connection,
        controller=worker,
        initial_prefetch_count=SLOTS + 1,
        on_decode_error=None,
        pool=SimpleNamespace(num_processes=SLOTS + 1),
        update_strategies=lambda: None,
    )
    object.__new__(Tasks).start(blank)

    def ask(reserved: int) -> bool:
        monkeypatch.setattr(state, "reserved_requests", set(range(reserved)))
        return bool(channel.qos.can_consume())

    return ask


def test_a_message_for_each_slot_and_one_more_where_one_ends(worker: Any, may_fetch: Callable[[int], bool]) -> None:
    for child in range(SLOTS):
        assert may_fetch(child)
        assert worker.permits.acquire(child)
    assert not may_fetch(SLOTS)
    worker.permits.announce_end(0)
    assert may_fetch(SLOTS)
    assert not may_fetch(SLOTS + 1)


def test_what_was_asked_for_is_received_though_the_end_did_not_come(
    worker: Any, channel: Any, may_fetch: Callable[[int], bool]
) -> None:
    """Redis may have given it by then, to nobody else; kombu reads nothing while the answer is no."""
    for child in range(SLOTS):
        assert worker.permits.acquire(child)
    worker.permits.announce_end(0)
    channel._in_poll = object()
    # It is over without having ended.
    assert not worker.permits.acquire(SLOTS, patience_seconds=0)
    assert may_fetch(SLOTS)
    channel._in_poll = None
    assert not may_fetch(SLOTS)
    # As kombu calls it.
    assert Channel._in_poll is False


def test_the_loop_learns_that_it_may_fetch_and_sleeps_on(worker: Any) -> None:
    hub = Hub()
    told: list[int] = []
    hub.on_tick.add(lambda: told.append(worker.permits.fetchable))
    # At each connection to the broker anew.
    for _ in range(2):
        worker.register_with_event_loop(hub)
    assert worker.permits.acquire(0)
    worker.permits.release(0)
    for _ in range(3):
        hub.timer.call_after(0, lambda: None)
        next(hub.loop)
    assert told[-1] == SLOTS + 1
    with pytest.raises(BlockingIOError):
        os.read(worker.permits.news, 1)
    hub.close()
