"""huey on Redis with its queue in order of priority."""

from __future__ import annotations

import os

import jobs
from huey import PriorityRedisHuey

huey = PriorityRedisHuey("bench", url=os.environ["PEER_REDIS_URL"], results=False)


@huey.task(priority=0)
def bulk(tenant: int) -> None:
    """A job of the tenant that floods."""
    jobs.run_bulk()


@huey.task(priority=10)
def quick(tenant: int, submitted_at: float) -> None:
    """A job of a quiet tenant."""
    jobs.run_quick(submitted_at)


def flood(count: int) -> None:
    """Send so many of the noisy tenant's."""
    for _ in range(count):
        bulk(0)


def submit(tenant: int, at: float) -> None:
    """Send one of a quiet tenant's."""
    quick(tenant, at)
