"""Dramatiq on Redis with a queue for each kind of tenant; a worker takes the more urgent of what it has fetched."""

from __future__ import annotations

import os

import dramatiq
import jobs
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["PEER_REDIS_URL"]))


@dramatiq.actor(queue_name="bulk", priority=100)
def bulk(tenant: int) -> None:
    """A job of the tenant that floods."""
    jobs.run_bulk()


@dramatiq.actor(queue_name="quick", priority=0)
def quick(tenant: int, submitted_at: float) -> None:
    """A job of a quiet tenant."""
    jobs.run_quick(submitted_at)


def flood(count: int) -> None:
    """Send so many of the noisy tenant's."""
    for _ in range(count):
        bulk.send(0)


def submit(tenant: int, at: float) -> None:
    """Send one of a quiet tenant's."""
    quick.send(tenant, at)
