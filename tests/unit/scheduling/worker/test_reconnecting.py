"""A worker whose broker is away looks for it often, however long that lasts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kombu import Connection
from kombu.exceptions import OperationalError
from kombu.utils import functional

from scheduling.worker.reconnecting import (
    FIRST_PAUSE_SECONDS,
    LONGER_BY_SECONDS,
    LONGEST_PAUSE_SECONDS,
    PersistentConsumer,
)

# Nobody listens on the port "discard".
NOWHERE = "redis://127.0.0.1:9/0"
TRIES = 30


def test_the_pause_between_two_tries_never_grows_beyond_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(functional, "sleep", slept.append)
    conf = SimpleNamespace(broker_connection_max_retries=TRIES, broker_connection_retry_on_startup=True)
    consumer = PersistentConsumer.__new__(PersistentConsumer)
    consumer.app, consumer.first_connection_attempt = SimpleNamespace(conf=conf), True
    consumer.broker_connection_retry_attempt = 0
    with Connection(NOWHERE) as connection, pytest.raises(OperationalError):
        consumer.ensure_connected(connection)
    # kombu sleeps whole seconds one by one, and then the rest.
    steps = (LONGEST_PAUSE_SECONDS - FIRST_PAUSE_SECONDS) / LONGER_BY_SECONDS
    shorter = sum(LONGEST_PAUSE_SECONDS - FIRST_PAUSE_SECONDS - LONGER_BY_SECONDS * step for step in range(int(steps)))
    assert sum(slept) == TRIES * LONGEST_PAUSE_SECONDS - shorter
