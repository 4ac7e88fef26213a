"""Celery on Redis with its results in PostgreSQL, by django-celery-results."""

from __future__ import annotations

import os

import django
from celery import Celery

django.setup()

app = Celery("bench", broker=os.environ["PEER_REDIS_URL"], backend="django-db")
app.conf.update(worker_hijack_root_logger=False)


@app.task(name="bench.noop")
def noop() -> None:
    """Nothing."""


def enqueue(count: int) -> None:
    """Send so many messages on one connection."""
    with app.producer_pool.acquire() as producer:
        for _ in range(count):
            noop.apply_async(producer=producer)
