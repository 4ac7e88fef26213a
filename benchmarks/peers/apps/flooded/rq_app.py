"""RQ on Redis with a queue a tenant, which the workers serve in turn."""

from __future__ import annotations

import os

import jobs
from redis import Redis
from rq import Queue

BATCH = 1_000
_broker = Redis.from_url(os.environ["PEER_REDIS_URL"])


def bulk(tenant: int) -> None:
    """A job of the tenant that floods."""
    jobs.run_bulk()


def quick(tenant: int, submitted_at: float) -> None:
    """A job of a quiet tenant."""
    jobs.run_quick(submitted_at)


def flood(count: int) -> None:
    """Send so many of the noisy tenant's."""
    queue = Queue("tenant-0", connection=_broker)
    for first in range(0, count, BATCH):
        size = min(BATCH, count - first)
        queue.enqueue_many([Queue.prepare_data(bulk, args=(0,), result_ttl=0) for _ in range(size)])


def submit(tenant: int, at: float) -> None:
    """Send one of a quiet tenant's."""
    Queue(f"tenant-{tenant}", connection=_broker).enqueue(quick, tenant, at, result_ttl=0)
