"""Celery on Redis with its priorities, without results."""

from __future__ import annotations

import os

import jobs
from celery import Celery

app = Celery("bench", broker=os.environ["PEER_REDIS_URL"])
app.conf.update(
    worker_hijack_root_logger=False,
    task_ignore_result=True,
    # A worker that has taken no message ahead finds the most urgent one whenever it asks.
    worker_prefetch_multiplier=1,
    task_acks_late=True,
    broker_transport_options={"queue_order_strategy": "priority"},
)


@app.task(name="bench.bulk")
def bulk(tenant: int) -> None:
    """A job of the tenant that floods."""
    jobs.run_bulk()


@app.task(name="bench.quick")
def quick(tenant: int, submitted_at: float) -> None:
    """A job of a quiet tenant."""
    jobs.run_quick(submitted_at)


def flood(count: int) -> None:
    """Send so many of the noisy tenant's."""
    with app.producer_pool.acquire() as producer:
        for _ in range(count):
            bulk.apply_async((0,), priority=9, producer=producer)


def submit(tenant: int, at: float) -> None:
    """Send one of a quiet tenant's. The least number is the most urgent on Redis."""
    quick.apply_async((tenant, at), priority=0)
