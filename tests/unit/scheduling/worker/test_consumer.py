"""The reconnect delay of a worker does not grow with the broker's absence."""

from __future__ import annotations

import pytest
from celery import current_app
from celery.utils.imports import symbol_by_name
from kombu import Connection
from kombu.exceptions import OperationalError
from kombu.utils import functional

from scheduling.worker.consumer import RETRY_SECONDS, ReconnectingConsumer

NOWHERE = "redis://127.0.0.1:9/0"
TRIES = 8


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the seconds waited between two attempts."""
    waited: list[float] = []
    monkeypatch.setattr(functional, "sleep", waited.append)
    return waited


def test_celery_is_configured_with_the_consumer() -> None:
    assert symbol_by_name(current_app.conf.worker_consumer) is ReconnectingConsumer


def test_pause_between_reconnects_is_constant(pauses: list[float]) -> None:
    consumer = ReconnectingConsumer.__new__(ReconnectingConsumer)
    consumer.app = current_app._get_current_object()
    consumer.first_connection_attempt, consumer.broker_connection_retry_attempt = False, 0
    with Connection(NOWHERE) as connection:
        patient = connection.ensure_connection
        connection.ensure_connection = lambda handle, _retries, **pauses: patient(handle, TRIES, **pauses)
        with pytest.raises(OperationalError):
            consumer.ensure_connected(connection)
    assert sum(pauses) <= TRIES * RETRY_SECONDS
    assert consumer.broker_connection_retry_attempt >= TRIES - 1
