"""huey on Redis; in flooded turns its queue is ordered by priority."""

from __future__ import annotations

import os

import jobs
from huey import PriorityRedisHuey, RedisHuey

_class = PriorityRedisHuey if jobs.IS_FLOODED else RedisHuey
huey = _class("bench", url=os.environ["PEER_REDIS_URL"], results=False)
noop, bulk, quick = huey.task()(jobs.noop), huey.task(priority=0)(jobs.bulk), huey.task(priority=10)(jobs.quick)


def enqueue(count: int) -> None:
    """Send no-op jobs."""
    jobs.repeat(noop, count)


def flood(count: int) -> None:
    """Send jobs of the noisy tenant."""
    jobs.repeat(bulk, count, 0)


def submit(tenant: int, at: float) -> None:
    """Send one job of a quiet tenant."""
    quick(tenant, at)
