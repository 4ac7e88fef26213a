"""django-q2 with its broker on Redis."""

from __future__ import annotations


def noop() -> None:
    """Nothing."""


def enqueue(count: int) -> None:
    """Send so many."""
    import django

    django.setup()
    from django_q.brokers import get_broker
    from django_q.tasks import async_task

    broker = get_broker()
    for _ in range(count):
        async_task("django_q2.noop", broker=broker)
