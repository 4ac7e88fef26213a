"""How a worker comes back to a broker that was away: it asks every second.

A command on a key of another type than Celery's is an error after which Celery connects again: such keys are removed
before it reads.
"""

from __future__ import annotations

import logging
from functools import partial

from celery.worker.consumer import Consumer
from kombu import Connection

from scheduling.broker_types import remove_wrong_types
from scheduling.exceptions import BrokerUnavailableError

logger = logging.getLogger(__name__)

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
