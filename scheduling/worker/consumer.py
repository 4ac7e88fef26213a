"""Consumer of a worker: the queues that it reads, and its return to a broker that was away."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from celery.apps.worker import Worker
from celery.worker import state
from celery.worker.consumer import Consumer
from kombu import Connection

from scheduling.dispatch.broker_types import remove_wrong_types
from scheduling.exceptions import BrokerUnavailableError

logger = logging.getLogger(__name__)

# A message that was on its way when fetching ended has begun by then.
IDLE_BEATS = 2


class QueueFollower:
    """Brings Celery's consumer in line with what the database says; called by the heartbeat's thread.

    A draining worker fetches nothing more, and leaves or waits once it runs nothing.
    """

    def __init__(self, worker: Worker, queue_names: Sequence[str], *, exits_when_drained: bool) -> None:
        self._worker = worker
        self._exits_when_drained = exits_when_drained
        self._is_draining = False
        self._idle_beats = 0
        self.queue_names = tuple(queue_names)

    def follow(self, *, is_draining: bool, is_idle: bool, queue_names: Sequence[str]) -> None:
        """Read new queues, stop or go on fetching, and leave when told to and nothing runs."""
        fresh = [name for name in queue_names if name not in self.queue_names]
        if fresh and (self._is_draining or self._change(fresh, is_read=True)):
            self.queue_names += tuple(fresh)
            logger.info("worker.reads_new_queues", extra={"queues": fresh})
        if is_draining is not self._is_draining and self._change(self.queue_names, is_read=not is_draining):
            self._is_draining = is_draining
            logger.info("worker.draining" if is_draining else "worker.resumed")
        self._idle_beats = self._idle_beats + 1 if self._is_draining and is_idle else 0
        if self._exits_when_drained and self._idle_beats > IDLE_BEATS:
            # Celery's loop looks at this between two events, and ends with this status.
            state.should_stop = 0

    def _change(self, queue_names: Sequence[str], *, is_read: bool) -> bool:
        """Have the event loop do it; False while there is none yet. The worker's own queue, its canary's, stays."""
        consumer = self._worker.consumer
        if self._worker.hub is None or consumer is None or consumer.task_consumer is None:
            return False
        change = consumer.add_task_queue if is_read else consumer.cancel_task_queue
        for name in queue_names:
            self._worker.hub.call_soon(change, name)
        return True


# Celery's own pause grows by two seconds with each try, up to thirty: after a minute's absence it is sixteen seconds
# until anybody reads, and the dispatchers publish all the while.
RETRY_SECONDS = 1.0


class ReturningConsumer(Consumer):
    """Celery's consumer with a pause between two tries that does not grow."""

    def ensure_connected(self, conn: Connection) -> Connection:
        """Try until the broker answers, or the worker stops."""
        conn.ensure_connection = partial(
            conn.ensure_connection, interval_start=RETRY_SECONDS, interval_step=0, interval_max=RETRY_SECONDS
        )
        connected = super().ensure_connected(conn)
        try:
            remove_wrong_types(self.app.amqp.queues.consume_from)
        except BrokerUnavailableError:
            # The next command of Celery meets the same, and it connects again.
            logger.warning("worker.broker_not_repaired", exc_info=True)
        return connected
