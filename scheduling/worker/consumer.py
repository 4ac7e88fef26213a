"""How a worker comes back to a broker that was away: it asks every second."""

from __future__ import annotations

from functools import partial

from celery.worker.consumer import Consumer
from kombu import Connection

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
        return super().ensure_connected(conn)
