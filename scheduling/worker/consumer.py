"""Celery's consumer in a worker: it consumes the pool's current queues, and reconnects to the broker."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from celery.apps.worker import Worker
from celery.worker import state
from celery.worker.consumer import Consumer
from kombu import Connection

from scheduling.dispatch.broker_types import remove_wrong_types
from scheduling.exceptions import BrokerUnavailableError

logger = logging.getLogger(__name__)

# A message in transit when fetching ended has started by then.
IDLE_BEATS = 2


class ConsumerQueues:
    """The queues that Celery's consumer reads, kept equal to those of the pool in the database by the heartbeat thread.

    A draining worker fetches no more messages; once it is idle, it exits or waits.
    """

    def __init__(self, worker: Worker, queue_names: Sequence[str], *, exits_when_drained: bool) -> None:
        self._worker = worker
        self._exits_when_drained = exits_when_drained
        self._is_draining = False
        self._idle_beats = 0
        self.queue_names = tuple(queue_names)

    def sync(self, *, is_draining: bool, is_idle: bool, queue_names: Sequence[str]) -> None:
        """Consume new queues, and pause or resume fetching as the worker drains or no longer drains.

        A worker that shall exit when drained exits once it is idle.
        """
        fresh = [name for name in queue_names if name not in self.queue_names]
        if fresh and (self._is_draining or self._change(fresh, is_read=True)):
            self.queue_names += tuple(fresh)
            logger.info("worker.reads_new_queues", extra={"queues": fresh})
        if is_draining is not self._is_draining and self._change(self.queue_names, is_read=not is_draining):
            self._is_draining = is_draining
            logger.info("worker.draining" if is_draining else "worker.resumed")
        self._idle_beats = self._idle_beats + 1 if self._is_draining and is_idle else 0
        if self._exits_when_drained and self._idle_beats > IDLE_BEATS:
            # Celery's loop checks this between two events, and ends with this status.
            state.should_stop = 0

    def _change(self, queue_names: Sequence[str], *, is_read: bool) -> bool:
        """Schedule the change in the event loop; return False if there is none yet. The canary queue stays."""
        consumer = self._worker.consumer
        if self._worker.hub is None or consumer is None or consumer.task_consumer is None:
            return False
        change = consumer.add_task_queue if is_read else consumer.cancel_task_queue
        for name in queue_names:
            self._worker.hub.call_soon(change, name)
        return True


def has_open_fetch(task_consumer: Any) -> bool:
    """Return whether Redis may already have delivered a message, because a request for one is open.

    kombu has no public name for this; a unit test fails if a version of kombu changes it.
    """
    return task_consumer is not None and bool(task_consumer.channel._in_poll)  # noqa: SLF001 - as above


# Celery's own pause grows by two seconds with each attempt, up to thirty: after an outage of a minute it would take
# sixteen seconds to consume again, while the dispatchers publish.
RETRY_SECONDS = 1.0


class ReconnectingConsumer(Consumer):
    """Celery's consumer with a constant pause between attempts to connect to the broker."""

    def ensure_connected(self, conn: Connection) -> Connection:
        """Connect to the broker, trying until it answers or the worker stops."""
        conn.ensure_connection = partial(
            conn.ensure_connection, interval_start=RETRY_SECONDS, interval_step=0, interval_max=RETRY_SECONDS
        )
        connected = super().ensure_connected(conn)
        try:
            remove_wrong_types(self.app.amqp.queues.consume_from)
        except BrokerUnavailableError:
            # Celery's next command meets the same error, and reconnects.
            logger.warning("worker.broker_not_repaired", exc_info=True)
        return connected
