"""django-q2 with its broker on Redis and a cluster of its own for what floods."""

from __future__ import annotations

import django
import jobs

django.setup()


def bulk(tenant: int) -> None:
    """A job of the tenant that floods."""
    jobs.run_bulk()


def quick(tenant: int, submitted_at: float) -> None:
    """A job of a quiet tenant."""
    jobs.run_quick(submitted_at)


def flood(count: int) -> None:
    """Send so many of the noisy tenant's."""
    from django_q.brokers import get_broker
    from django_q.tasks import async_task

    broker = get_broker("bulk")
    for _ in range(count):
        async_task("django_q2.bulk", 0, broker=broker)


def submit(tenant: int, at: float) -> None:
    """Send one of a quiet tenant's."""
    from django_q.tasks import async_task

    async_task("django_q2.quick", tenant, at)
