"""Guard against plain Celery workers on the platform's queues.

A plain `celery worker` has no row, no lease and no heartbeat: a job that it started would count as lost.
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
from scheduling.worker.local_worker import is_worker
from tenants.database.platform_settings import platform_settings

logger = logging.getLogger(__name__)

# A foreign process holds a message for at most this long, so that workers of the platform can take it.
RETURN_SECONDS: Final = 1.0
CURE: Final = "manage.py run_worker --pool {pool}"


class PlatformTask(Task):
    """A Celery task that only workers started by `manage.py run_worker` run; other workers return its messages."""

    abstract = True
    Strategy = "scheduling.celery.external_processes:requeueing_strategy"


def refuse_external_worker(options: Mapping[str, Any]) -> None:
    """Raise SystemExit with the command to use if a plain Celery worker would consume a queue of the platform."""
    if is_worker():
        return
    given = options.get("queues") or settings.CELERY_TASK_DEFAULT_QUEUE
    names = given.split(",") if isinstance(given, str) else [str(name) for name in given]
    commands = [f"{name}: {CURE.format(pool=pool)}" for name, pool in _pools_of(names).items()]
    if commands:
        raise SystemExit(
            "A plain Celery worker must not consume the platform's queues: its jobs would have no "
            "lease. Start a worker of the platform instead.\n" + "\n".join(commands)
        )


def _pools_of(names: list[str]) -> dict[str, str]:
    """Return the pools of the names that are platform queues; without the database, a placeholder for all."""
    try:
        return dict(Queue.objects.filter(name__in=names).values_list("name", "pool__name"))
    except AnyDatabaseError:
        return dict.fromkeys(names, "POOL")


def requeueing_strategy(task: Task, app: Celery, consumer: Any, **options: Any) -> Callable[..., None]:
    """Return a Celery strategy that requeues each message after RETURN_SECONDS and never runs it.

    It also reports that this process consumes the platform's messages.
    """
    report = _Report()

    def give_back(message: Any, *args: Any, **kwargs: Any) -> None:
        requeue = (message.reject_log_error, logger, consumer.connection_errors, True)
        # A pool without an event loop runs its timer on another thread, which must not use the connection.
        consumer.timer.call_after(RETURN_SECONDS, consumer.call_soon, requeue)
        report.note(task.name)

    return give_back


class _Report:
    """The report that this process takes the platform's messages, for the console and the diagnosis."""

    def __init__(self) -> None:
        self._pulse = ProcessPulse(FOREIGN_ROLE)
        self._next_at = 0.0

    def note(self, task: str) -> None:
        """Record the process, at most once a heartbeat interval."""
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
