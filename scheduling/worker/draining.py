"""A worker that drains: it fetches nothing more, and leaves or waits once it runs nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from celery.apps.worker import Worker
from celery.worker import state

logger = logging.getLogger(__name__)

# A message that was on its way when fetching ended has begun by then.
IDLE_BEATS = 2


class DrainFollower:
    """Brings Celery's consumer in line with what the worker's row says; called by the heartbeat's thread."""

    def __init__(self, worker: Worker, queue_names: Sequence[str], *, exits_when_drained: bool) -> None:
        self._worker = worker
        self._queue_names = tuple(queue_names)
        self._exits_when_drained = exits_when_drained
        self._is_draining = False
        self._idle_beats = 0

    def follow(self, is_draining: bool, is_idle: bool) -> None:  # noqa: FBT001 - two facts of one beat
        """Stop or go on fetching, and leave when told to and nothing runs."""
        if is_draining is not self._is_draining and self._switch(is_draining):
            self._is_draining = is_draining
            logger.info("worker.draining" if is_draining else "worker.resumed")
        self._idle_beats = self._idle_beats + 1 if self._is_draining and is_idle else 0
        if self._exits_when_drained and self._idle_beats > IDLE_BEATS:
            # Celery's loop looks at this between two events, and ends with this status.
            state.should_stop = 0

    def _switch(self, is_draining: bool) -> bool:  # noqa: FBT001
        """Have the event loop do it; False while there is none yet. The worker's own queue, its canary's, stays."""
        consumer = self._worker.consumer
        if self._worker.hub is None or consumer is None or consumer.task_consumer is None:
            return False
        change = consumer.cancel_task_queue if is_draining else consumer.add_task_queue
        for name in self._queue_names:
            self._worker.hub.call_soon(change, name)
        return True
