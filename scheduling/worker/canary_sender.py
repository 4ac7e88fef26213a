"""The thread that sends a worker's canaries to a queue of its own, and stops the worker if it no longer consumes."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from uuid import UUID

from django.conf import settings
from kombu import Exchange, Queue

from scheduling import signals
from scheduling.celery.app import celery_app
from scheduling.conf import CANARY_TASK
from scheduling.dispatch.broker import BROKER_ERRORS
from scheduling.exceptions import BrokerUnavailableError
from scheduling.worker.canary import CanaryWatch
from scheduling.worker.child_exit import is_child_alive
from scheduling.worker.control_block import ControlBlock
from scheduling.worker.local_worker import LocalWorker
from scheduling.worker.watchdog import end_process
from tenants.database.platform_settings import platform_settings

CANARY_KEPT_SECONDS = 600


def canary_queue(worker_id: UUID) -> Queue:
    """Return the queue of a worker's canaries, which only this worker consumes.

    Without an exchange it needs no binding and leaves nothing behind.
    """
    name = f"canary.{worker_id.hex}"
    return Queue(name, Exchange(""), routing_key=name)


def publish_canary(queue: Queue, number: int) -> None:
    """Send a canary on a separate connection, because the worker's own connection is what is tested.

    The queue expires soon after its worker is gone. Raise BrokerUnavailableError.
    """
    try:
        with celery_app().connection_for_write() as connection, connection.Producer() as producer:
            celery_app().signature(CANARY_TASK).apply_async(
                args=[number],
                queue=queue,
                producer=producer,
                expires=CANARY_KEPT_SECONDS,
                ignore_result=True,
                retry=False,
            )
            with producer.channel.conn_or_acquire() as client:
                client.expire(queue.name, CANARY_KEPT_SECONDS)
    except BROKER_ERRORS as error:
        raise BrokerUnavailableError(str(error)) from error


logger = logging.getLogger(__name__)

CANARY_LATE = "canary_late"
LOOK_SECONDS = 0.25
# The time beyond the soft shutdown's time-out before the process is ended without it.
HARD_EXIT_SECONDS = 10.0


class CanaryThread(threading.Thread):
    """A thread that sends a worker's canaries and checks for their answers four times a second.

    It is separate from the heartbeat: an unresponsive broker must not stop the renewal of leases.
    """

    def __init__(self, worker: LocalWorker, *, pool_name: str, give_up: Callable[[], None] | None = None) -> None:
        super().__init__(name="canaries", daemon=True)
        self._worker = worker
        self._block: ControlBlock = worker.block
        self._queue = canary_queue(worker.registration.worker_id)
        self._pool_name = pool_name
        self._give_up = give_up or self._stop_process
        self._stopped = threading.Event()
        self._answered = 0
        self._watch = CanaryWatch(platform_settings.CANARY_INTERVAL_SECONDS, platform_settings.CANARY_LIMIT_SECONDS)
        self.has_given_up = False

    def begin(self, **_: object) -> None:
        """Start the thread; called as a Celery signal handler when the worker consumes its queues."""
        if platform_settings.CANARY_INTERVAL_SECONDS and not self.is_alive():
            self.start()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        """Check the canaries until the thread is stopped, or until it has stopped a worker that no longer consumes."""
        while not self._stopped.wait(LOOK_SECONDS) and not self._block.is_stopping:
            if self.look(time.monotonic()):
                self.has_given_up = True
                self._tell()
                self._give_up()
                return

    def look(self, now: float) -> bool:
        """Send a canary if one is due, and record an answer; return whether the worker no longer consumes."""
        self._block.forget_task_of(is_child_alive)
        answered = self._block.canary_answered
        if answered != self._answered:
            self._answered = answered
            self._watch.note_answered()
        has_free_child = self._block.has_free_child()
        if self._watch.is_due(now, has_free_child=has_free_child):
            self._send(now)
        return self._watch.is_late(now, has_free_child=has_free_child)

    def _send(self, now: float) -> None:
        try:
            publish_canary(self._queue, self._block.send_canary())
        except BrokerUnavailableError:
            self._watch.note_refused(now)
        else:
            self._watch.note_sent(now)

    def _tell(self) -> None:
        facts = {"pool": self._pool_name, "unread_seconds": round(self._watch.unread_seconds, 1)}
        logger.critical("worker.canary_late", extra={**facts, "worker_id": str(self._worker.registration.worker_id)})
        signals.worker_given_up.send(
            None, pool=self._pool_name, worker_id=self._worker.registration.worker_id, reason=CANARY_LATE
        )

    def _stop_process(self) -> None:
        """Request a soft stop, as SIGTERM does; if the main thread hangs on the broker too, end the process."""
        os.kill(os.getpid(), signal.SIGTERM)
        if self._stopped.wait(settings.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT + HARD_EXIT_SECONDS):
            return
        end_process(f"The worker of the pool {self._pool_name} does not stop.")
