"""Dramatiq on Redis; a flood has a queue of its own, and a worker takes the more urgent message of those it fetched."""

from __future__ import annotations

import os

import dramatiq
import jobs
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["PEER_REDIS_URL"]))


@dramatiq.actor
def noop() -> None:
    """Do nothing."""


@dramatiq.actor(queue_name="bulk", priority=100)
def bulk(tenant: int) -> None:
    """Run a job of the tenant that floods."""
    jobs.run_bulk()


@dramatiq.actor(queue_name="quick", priority=0)
def quick(tenant: int, submitted_at: float) -> None:
    """Run a job of a quiet tenant."""
    jobs.run_quick(submitted_at)


def enqueue(count: int) -> None:
    """Send no-op messages."""
    for _ in range(count):
        noop.send()


def flood(count: int) -> None:
    """Send messages of the noisy tenant."""
    for _ in range(count):
        bulk.send(0)


def submit(tenant: int, at: float) -> None:
    """Send one message of a quiet tenant."""
    quick.send(tenant, at)
