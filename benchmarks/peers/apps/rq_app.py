"""RQ on Redis."""

from __future__ import annotations

import os

from redis import Redis
from rq import Queue

BATCH = 1_000


def noop() -> None:
    """Nothing."""


def enqueue(count: int) -> None:
    """Send so many, whose results are kept for no time."""
    queue = Queue(connection=Redis.from_url(os.environ["PEER_REDIS_URL"]))
    for first in range(0, count, BATCH):
        queue.enqueue_many([Queue.prepare_data(noop, result_ttl=0) for _ in range(min(BATCH, count - first))])
