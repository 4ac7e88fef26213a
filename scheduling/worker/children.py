"""The pool of a worker's children, which outlives a broker that comes back while one of them is being replaced."""

from __future__ import annotations

from typing import Any

from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool


class ChildPool(AsynPool):
    """Celery's pool of processes. Each time that the broker has come back it watches all its children anew."""

    def _track_child_process(self, proc: Any, hub: Any) -> None:
        """Watch for a child's end, unless that was seen: Celery would look for what it has let go of, and end."""
        if getattr(proc, "_sentinel_poll", hub) is not None:
            super()._track_child_process(proc, hub)


class ChildTaskPool(TaskPool):
    """Celery's prefork pool, of such children."""

    Pool = ChildPool
