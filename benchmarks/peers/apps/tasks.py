"""django-tasks-db on PostgreSQL with its priorities."""

from __future__ import annotations

from typing import Any

import django
import jobs
from django_tasks import task

django.setup()


@task()
def noop() -> None:
    """Do nothing."""


@task(priority=0)
def bulk(tenant: int) -> None:
    """Run a job of the tenant that floods."""
    jobs.bulk(tenant)


@task(priority=10)
def quick(tenant: int, submitted_at: float) -> None:
    """Run a job of a quiet tenant."""
    jobs.quick(tenant, submitted_at)


def enqueue(count: int) -> None:
    """Store no-op jobs."""
    _store(noop, count)


def flood(count: int) -> None:
    """Store jobs of the noisy tenant."""
    _store(bulk, count, 0)


def submit(tenant: int, at: float) -> None:
    """Store one job of a quiet tenant."""
    quick.enqueue(tenant, at)


def _store(job: Any, count: int, *arguments: int) -> None:
    from django.db import transaction

    with transaction.atomic():
        jobs.repeat(job.enqueue, count, *arguments)
