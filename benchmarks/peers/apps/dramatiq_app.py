"""Dramatiq on Redis."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["PEER_REDIS_URL"]))


@dramatiq.actor
def noop() -> None:
    """Nothing."""


def enqueue(count: int) -> None:
    """Send so many."""
    for _ in range(count):
        noop.send()
