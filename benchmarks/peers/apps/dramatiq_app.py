"""Dramatiq on Redis; a flood has its own queue, and a worker runs the more urgent of its fetched messages first."""

from __future__ import annotations

import os

import dramatiq
import jobs
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["PEER_REDIS_URL"]))
noop = dramatiq.actor(jobs.noop)
bulk = dramatiq.actor(jobs.bulk, queue_name="bulk", priority=100)
quick = dramatiq.actor(jobs.quick, queue_name="quick", priority=0)


def enqueue(count: int) -> None:
    """Send no-op messages."""
    jobs.repeat(noop.send, count)


def flood(count: int) -> None:
    """Send messages of the noisy tenant."""
    jobs.repeat(bulk.send, count, 0)


def submit(tenant: int, at: float) -> None:
    """Send one message of a quiet tenant."""
    quick.send(tenant, at)
