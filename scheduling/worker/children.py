"""The pool of a worker's children, which survives a broker reconnect while a child is being replaced.

This module alone uses private names of Celery's pool; its unit tests fail if a version of Celery changes them.
"""

from __future__ import annotations

import threading
from collections.abc import Set
from typing import Any

from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool

from scheduling.worker.orphan_processes import children_of_parent


class ChildPool(AsynPool):
    """Celery's pool of processes; after each broker reconnect it watches all of its children again.

    It distinguishes its own children from adopted ones.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._making = threading.Lock()
        # Processes that preloaded code may have started.
        self._before = children_of_parent()
        super().__init__(*args, **kwargs)

    def adopted_children(self) -> Set[int]:
        """Return the adopted children of this process; empty while a child is created, whose pid is not known yet.

        Callable from any thread.
        """
        if not self._making.acquire(blocking=False):
            return frozenset()
        try:
            # The pool's own first: one that is reaped meanwhile is no child any more.
            own = {process.pid for process in list(self._pool)}
            return children_of_parent() - own - self._before
        finally:
            self._making.release()

    def _create_worker_process(self, i: int) -> Any:
        with self._making:
            return super()._create_worker_process(i)

    def _track_child_process(self, proc: Any, hub: Any) -> None:
        """Watch for a child's end, unless it was already seen: Celery would read what it has released, and end."""
        # It is absent before the child is watched for the first time, and None after its end.
        if getattr(proc, "_sentinel_poll", hub) is not None:
            super()._track_child_process(proc, hub)


class ChildTaskPool(TaskPool):
    """Celery's prefork pool, with such children."""

    Pool = ChildPool
    _pool: ChildPool | None

    def adopted_children(self) -> Set[int]:
        """Return the adopted children of this process; empty unless the pool runs. Callable from any thread."""
        pool = self._pool
        return frozenset() if pool is None else pool.adopted_children()
