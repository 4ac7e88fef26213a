"""Celery processes that are not the platform's workers: none starts on its queues, and none keeps its messages.

A plain `celery worker` has no row, no lease and no heartbeat, so a job that it began would be taken for lost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from celery import Celery
from celery.app.task import Task
from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db import connection

from scheduling.fleet.processes import ProcessPulse
from scheduling.fleet.queries import FOREIGN_ROLE
from scheduling.models import Queue
from scheduling.worker.registration import is_worker
from tenants.database.platform_settings import platform_settings

logger = logging.getLogger(__name__)

# A message is in the hands of a foreign process for so long: workers of the platform take it from it meanwhile.
RETURN_SECONDS: Final = 1.0
CURE: Final = "manage.py run_worker --pool {pool}"


class PlatformTask(Task):
    """A task of the platform. Only `manage.py run_worker` performs it; other Celery processes return its messages."""

    abstract = True
    Strategy = "scheduling.celery.foreign:returning_strategy"


def refuse_plain_worker(options: Mapping[str, Any]) -> None:
    """Raise SystemExit, naming the command to use, if a plain Celery worker would read a queue of the platform."""
    if is_worker():
        return
    given = options.get("queues") or settings.CELERY_TASK_DEFAULT_QUEUE
    names = given.split(",") if isinstance(given, str) else [str(name) for name in given]
    commands = [f"{name}: {CURE.format(pool=pool)}" for name, pool in _pools_of(names).items()]
    if commands:
        raise SystemExit(
            "A plain Celery worker must not read the platform's queues: its jobs would have no lease."
            " Start a worker of the platform instead.\n" + "\n".join(commands)
        )


def _pools_of(names: list[str]) -> dict[str, str]:
    """Return the pool of each name that is a queue of the platform; of every name while the database is away."""
    try:
        return dict(Queue.objects.filter(name__in=names).values_list("name", "pool__name"))
    except AnyDatabaseError:
        return dict.fromkeys(names, "POOL")


def returning_strategy(task: Task, app: Celery, consumer: Any, **options: Any) -> Callable[..., None]:
    """Return a strategy that performs no message, gives each back after RETURN_SECONDS, and reports the process."""
    report = _Report()

    def give_back(message: Any, *args: Any, **kwargs: Any) -> None:
        requeue = (message.reject_log_error, logger, consumer.connection_errors, True)
        # A pool without an event loop has a timer on a thread of its own, which must not touch the connection.
        consumer.timer.call_after(RETURN_SECONDS, consumer.call_soon, requeue)
        report.note(task.name)

    return give_back


class _Report:
    """What tells the console and the diagnosis that this process takes the platform's messages."""

    def __init__(self) -> None:
        self._pulse = ProcessPulse(FOREIGN_ROLE)
        self._next_at = 0.0

    def note(self, task: str) -> None:
        """Write the process down, at most once a heartbeat."""
        now = time.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + platform_settings.HEARTBEAT_SECONDS
        logger.error("message.returned", extra={"task_name": task, "hint": CURE.format(pool="POOL")})
        try:
            self._pulse.beat()
        except AnyDatabaseError:
            logger.warning("foreign.not_reported", exc_info=True)
        finally:
            # A pool forks later: its children must not inherit the connection.
            connection.close()
