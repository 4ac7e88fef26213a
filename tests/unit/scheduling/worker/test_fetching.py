"""Number of messages that Celery fetches for a worker, and the wake-up of its event loop."""

from __future__ import annotations

import os
from collections.abc import Callable
from queue import Empty
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state
from celery.worker.consumer.tasks import Tasks
from kombu.asynchronous import Hub
from kombu.transport.redis import Channel

from scheduling.worker.celery_worker import SoftlyStoppingWorker
from scheduling.worker.consumer import has_open_fetch
from scheduling.worker.slots import SlotSemaphore

SLOTS = 2


@pytest.fixture
def channel() -> Any:
    """Return a channel like kombu's, with its limit and the state of its poll."""
    return SimpleNamespace(qos=SimpleNamespace(can_consume=lambda: True), _in_poll=None)


@pytest.fixture
def worker(channel: Any) -> Any:
    """Return a worker with two slots and three children."""
    made: Any = object.__new__(SoftlyStoppingWorker)
    # Celery sets its own autoscaler, before anything else exists.
    made.max_concurrency = None
    assert made.max_concurrency is None
    made.permits = SlotSemaphore(SLOTS, spare_children=1)
    made.consumer = SimpleNamespace(task_consumer=None)
    made.blueprint = SimpleNamespace(send_all=lambda *_, **__: None)
    return made


@pytest.fixture
def may_fetch(worker: Any, channel: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], bool]:
    """Return a predicate: does Celery fetch another message? Celery's own step decides."""
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


def test_worker_fetches_one_message_per_slot_and_per_announced_end(
    worker: Any, may_fetch: Callable[[int], bool]
) -> None:
    for child in range(SLOTS):
        assert may_fetch(child)
        assert worker.permits.acquire(child)
    assert not may_fetch(SLOTS)
    worker.permits.announce_end(0)
    assert may_fetch(SLOTS)
    assert not may_fetch(SLOTS + 1)


def test_requested_message_is_received_although_the_announced_end_failed(
    worker: Any, channel: Any, may_fetch: Callable[[int], bool]
) -> None:
    """Redis may have delivered it already, and kombu reads nothing while the answer is False."""
    for child in range(SLOTS):
        assert worker.permits.acquire(child)
    worker.permits.announce_end(0)
    channel._in_poll = object()
    # It is over without having ended.
    assert not worker.permits.acquire(SLOTS, patience_seconds=0)
    assert may_fetch(SLOTS)
    channel._in_poll = None
    assert not may_fetch(SLOTS)


def test_kombu_has_an_open_fetch_from_its_request_to_the_answer() -> None:
    connection = SimpleNamespace(send_command=lambda *_: None)
    channel: Any = object.__new__(Channel)
    vars(channel).update(
        client=SimpleNamespace(connection=connection, parse_response=lambda *_, **__: None),
        _queue_cycle=SimpleNamespace(consume=lambda _: ["default"]),
        _active_queues=["default"],
        active_fanout_queues=set(),
        brpop_timeout=1,
        global_keyprefix="",
        connection_errors=(),
    )
    consumer = SimpleNamespace(channel=channel)
    assert not has_open_fetch(None)
    assert not has_open_fetch(consumer)
    channel._brpop_start()
    assert has_open_fetch(consumer)
    with pytest.raises(Empty):
        channel._brpop_read()
    assert not has_open_fetch(consumer)


def test_event_loop_is_notified_of_fetchable_messages_and_sleeps(worker: Any) -> None:
    hub = Hub()
    fetchable: list[int] = []
    hub.on_tick.add(lambda: fetchable.append(worker.permits.fetchable))
    # At each new connection to the broker.
    for _ in range(2):
        worker.register_with_event_loop(hub)
    assert worker.permits.acquire(0)
    worker.permits.release(0)
    for _ in range(3):
        # The loop sleeps until the next timer, or for a second without one.
        hub.timer.call_after(0.01, lambda: None)
        next(hub.loop)
    assert fetchable[-1] == SLOTS + 1
    with pytest.raises(BlockingIOError):
        os.read(worker.permits.news, 1)
    hub.close()
