"""How a worker looks for a broker that is away: all the time, and not ever more seldom."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer

# Celery's own pause grows to 30 s: after an outage of a minute jobs would wait for another quarter of one.
FIRST_PAUSE_SECONDS, LONGER_BY_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 0.5, 2.0


class PersistentConsumer(Consumer):
    """Tries again within LONGEST_PAUSE_SECONDS, however long the broker has been away."""

    def ensure_connected(self, conn: Any) -> Any:
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=FIRST_PAUSE_SECONDS,
            interval_step=LONGER_BY_SECONDS,
            interval_max=LONGEST_PAUSE_SECONDS,
        )
        return super().ensure_connected(conn)
