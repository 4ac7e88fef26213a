"""django-tasks-db on PostgreSQL with its priorities."""

from __future__ import annotations

import django
import jobs
from django_tasks import task

django.setup()


@task(priority=0)
def bulk(tenant: int) -> None:
    """A job of the tenant that floods."""
    jobs.run_bulk()


@task(priority=10)
def quick(tenant: int, submitted_at: float) -> None:
    """A job of a quiet tenant."""
    jobs.run_quick(submitted_at)


def flood(count: int) -> None:
    """Store so many of the noisy tenant's."""
    from django.db import transaction

    with transaction.atomic():
        for _ in range(count):
            bulk.enqueue(0)


def submit(tenant: int, at: float) -> None:
    """Store one of a quiet tenant's."""
    quick.enqueue(tenant, at)
