"""Celery on Redis, without results."""

from __future__ import annotations

import os

from celery import Celery

app = Celery("bench", broker=os.environ["PEER_REDIS_URL"])
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False)


@app.task(name="bench.noop")
def noop() -> None:
    """Nothing."""


def enqueue(count: int) -> None:
    """Send so many messages on one connection."""
    with app.producer_pool.acquire() as producer:
        for _ in range(count):
            noop.apply_async(producer=producer)
