"""The pool of a worker's child processes, which survives a broker reconnect while a child is being replaced.

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
    """Celery's pool of processes, changed to watch all of its children again after each broker reconnect.

    It also distinguishes its own children from orphans that this process has adopted.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._making = threading.Lock()
        # Processes that preloaded code may have started.
        self._before = children_of_parent()
        super().__init__(*args, **kwargs)

    def adopted_children(self) -> Set[int]:
        """Return the pids of the orphans that this process has adopted; may be called from any thread.

        While a child is being created, whose pid is not known yet, the set is empty.
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
    """Celery's prefork pool with `ChildPool` as its pool of processes."""

    Pool = ChildPool
    _pool: ChildPool | None

    def adopted_children(self) -> Set[int]:
        """Return the pids of the orphans that this process has adopted; may be called from any thread.

        The set is empty unless the pool runs.
        """
        pool = self._pool
        return frozenset() if pool is None else pool.adopted_children()
