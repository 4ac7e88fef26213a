"""Celery on Redis, with results in PostgreSQL by django-celery-results if PEER names them."""

from __future__ import annotations

import os
from typing import Any

import jobs
from celery import Celery

HAS_RESULTS = os.environ.get("PEER") == "celery_results"
if HAS_RESULTS:
    import django

    django.setup()

app = Celery("bench", broker=os.environ["PEER_REDIS_URL"], backend="django-db" if HAS_RESULTS else None)
app.conf.update(task_ignore_result=not HAS_RESULTS, worker_hijack_root_logger=False)
if jobs.IS_FLOODED:
    # A worker that prefetches no message receives the most urgent one each time.
    app.conf.update(
        worker_prefetch_multiplier=1, task_acks_late=True, broker_transport_options={"queue_order_strategy": "priority"}
    )
noop, bulk, quick = (app.task(job, name=f"bench.{job.__name__}") for job in (jobs.noop, jobs.bulk, jobs.quick))


def enqueue(count: int) -> None:
    """Send no-op messages."""
    _send(noop, count)


def flood(count: int) -> None:
    """Send messages of the noisy tenant."""
    _send(bulk, count, 0, priority=9)


def submit(tenant: int, at: float) -> None:
    """Send one message of a quiet tenant. On Redis the least number is the most urgent."""
    quick.apply_async((tenant, at), priority=0)


def _send(task: Any, count: int, *arguments: int, **options: int) -> None:
    with app.producer_pool.acquire() as producer:
        for _ in range(count):
            task.apply_async(arguments, producer=producer, **options)
