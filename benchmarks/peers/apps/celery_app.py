"""Celery on Redis, with results in PostgreSQL by django-celery-results where PEER names them."""

from __future__ import annotations

import os

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
        worker_prefetch_multiplier=1,
        task_acks_late=True,
        broker_transport_options={"queue_order_strategy": "priority"},
    )


@app.task(name="bench.noop")
def noop() -> None:
    """Do nothing."""


@app.task(name="bench.bulk")
def bulk(tenant: int) -> None:
    """Run a job of the tenant that floods."""
    jobs.run_bulk()


@app.task(name="bench.quick")
def quick(tenant: int, submitted_at: float) -> None:
    """Run a job of a quiet tenant."""
    jobs.run_quick(submitted_at)


def enqueue(count: int) -> None:
    """Send no-op messages on one connection."""
    with app.producer_pool.acquire() as producer:
        for _ in range(count):
            noop.apply_async(producer=producer)


def flood(count: int) -> None:
    """Send messages of the noisy tenant on one connection."""
    with app.producer_pool.acquire() as producer:
        for _ in range(count):
            bulk.apply_async((0,), priority=9, producer=producer)


def submit(tenant: int, at: float) -> None:
    """Send one message of a quiet tenant. The least number is the most urgent on Redis."""
    quick.apply_async((tenant, at), priority=0)
