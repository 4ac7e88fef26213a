"""django-tasks-db on PostgreSQL."""

from __future__ import annotations

from django_tasks import task


@task()
def noop() -> None:
    """Nothing."""


def enqueue(count: int) -> None:
    """Store so many."""
    import django

    django.setup()
    from django.db import transaction

    with transaction.atomic():
        for _ in range(count):
            noop.enqueue()
