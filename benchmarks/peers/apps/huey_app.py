"""huey on Redis; in flooded turns its queue is ordered by priority."""

from __future__ import annotations

import os

import jobs
from huey import PriorityRedisHuey, RedisHuey

_class = PriorityRedisHuey if jobs.IS_FLOODED else RedisHuey
huey = _class("bench", url=os.environ["PEER_REDIS_URL"], results=False)


@huey.task()
def noop() -> None:
    """Do nothing."""


@huey.task(priority=0)
def bulk(tenant: int) -> None:
    """Run a job of the tenant that floods."""
    jobs.run_bulk()


@huey.task(priority=10)
def quick(tenant: int, submitted_at: float) -> None:
    """Run a job of a quiet tenant."""
    jobs.run_quick(submitted_at)


def enqueue(count: int) -> None:
    """Send no-op jobs."""
    for _ in range(count):
        noop()


def flood(count: int) -> None:
    """Send jobs of the noisy tenant."""
    for _ in range(count):
        bulk(0)


def submit(tenant: int, at: float) -> None:
    """Send one job of a quiet tenant."""
    quick(tenant, at)
