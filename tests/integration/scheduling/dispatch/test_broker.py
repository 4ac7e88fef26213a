"""The publisher while the broker is unreachable, and after it has returned."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from celery import current_app
from kombu import Connection, pools

from scheduling.celery import publishing
from scheduling.celery.publishing import Hint
from scheduling.dispatch import broker
from scheduling.exceptions import BrokerUnavailableError
from scheduling.worker.canary_sender import CANARY_KEPT_SECONDS, canary_queue, publish_canary

# Without options kombu tries again for six seconds.
NOWHERE = Connection("redis://127.0.0.1:9/0", transport_options={"max_retries": 0})


@pytest.fixture
def hints() -> list[Hint]:
    return [Hint(f"test-{uuid4().hex}", [uuid4(), uuid4()], uuid4()) for _ in range(2)]


@pytest.fixture
def broker_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Point Celery's connections at an unreachable broker."""
    _forget_connections()
    app = current_app._get_current_object()
    monkeypatch.setattr(app, "connection_for_write", lambda *_, **__: NOWHERE.clone())
    yield
    _forget_connections()


def _forget_connections() -> None:
    pools.reset()
    current_app._pool = None
    current_app.amqp._producer_pool = None


def test_publish_returns_the_unsent_hints_at_every_failure(broker_away: None, hints: list[Hint]) -> None:
    for _ in range(3):
        assert list(publishing.publish(hints)) == hints


def test_unsent_canary_raises(broker_away: None) -> None:
    with pytest.raises(BrokerUnavailableError):
        publish_canary(canary_queue(uuid4()), 1)


def test_canary_waits_in_its_workers_queue_and_expires() -> None:
    queue = canary_queue(uuid4())
    publish_canary(queue, 7)
    client = broker.client.__wrapped__()
    assert client.llen(queue.name) == 1
    assert 0 < client.ttl(queue.name) <= CANARY_KEPT_SECONDS
    client.delete(queue.name)
