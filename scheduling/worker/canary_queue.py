"""The queue that one worker alone reads, and the canaries that it sends itself there."""

from __future__ import annotations

from uuid import UUID

from celery import current_app
from kombu import Exchange, Queue

from scheduling.broker import BROKER_ERRORS
from scheduling.conf import CANARY_TASK
from scheduling.exceptions import BrokerUnavailableError

CANARY_KEPT_SECONDS = 600


def canary_queue(worker_id: UUID) -> Queue:
    """The queue that one worker alone reads. Without an exchange it needs no binding and leaves nothing behind."""
    name = f"canary.{worker_id.hex}"
    return Queue(name, Exchange(""), routing_key=name)


def publish_canary(queue: Queue, number: int) -> None:
    """Send a canary on a connection of its own: what is asked is whether the worker's still reads.

    Raises BrokerUnavailableError. The queue is gone by itself soon after its worker is.
    """
    try:
        with current_app.connection_for_write() as connection, connection.Producer() as producer:
            current_app.signature(CANARY_TASK).apply_async(
                args=[number],
                queue=queue,
                producer=producer,
                expires=CANARY_KEPT_SECONDS,
                ignore_result=True,
                retry=False,
            )
            with producer.channel.conn_or_acquire() as client:
                client.expire(queue.name, CANARY_KEPT_SECONDS)
    except BROKER_ERRORS as error:
        raise BrokerUnavailableError(str(error)) from error
