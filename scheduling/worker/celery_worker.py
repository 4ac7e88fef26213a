"""The platform's Celery worker: its start with a heartbeat, its soft stop, and the report that it has stopped."""

from __future__ import annotations

import logging
import os
import platform
import signal
import sys
import time
from collections.abc import Set
from typing import Any
from uuid import UUID

from billiard import current_process
from celery.apps.worker import Worker
from celery.signals import (
    setup_logging,
    task_postrun,
    task_prerun,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
)
from django.conf import settings
from django.db import connections
from kombu.asynchronous import Hub

from scheduling import tracing
from scheduling.celery.app import celery_app
from scheduling.celery.message_guard import guard_celery_messages
from scheduling.conf import UPKEEP_QUEUE
from scheduling.fleet.queries import WORKER_ROLE
from scheduling.fleet.workers import Registration, register_worker, retire_worker
from scheduling.sandbox.isolated import probe_sandbox
from scheduling.worker.canary_sender import CANARY_LATE, CanaryThread, canary_queue
from scheduling.worker.child_limits import ChildLimits, find_limits, limit_children
from scheduling.worker.child_watch import ChildWatch, ProcessWatch
from scheduling.worker.children import ChildTaskPool
from scheduling.worker.consumer import ConsumerQueues, has_open_fetch
from scheduling.worker.control_block import ControlBlock
from scheduling.worker.heartbeat import HeartbeatThread
from scheduling.worker.io.pool import IoPool
from scheduling.worker.io.process import make_processes
from scheduling.worker.io.watch import IoWatch
from scheduling.worker.local_worker import LocalWorker, set_local_worker
from scheduling.worker.memory import hide_child, hide_worker
from scheduling.worker.orphan_processes import end_descendants
from scheduling.worker.preloading import freeze_garbage_collector, preload_kinds
from scheduling.worker.process_state import (
    CONNECTION_ERRORS,
    adopt_orphans,
    keep_connections,
    name_connections,
    note_limits,
    preconnect,
    retry_on_disconnect,
)
from scheduling.worker.slots import SlotSemaphore
from scheduling.worker.watchdog import EXIT_STATUS, Watchdog
from tenants.database.platform_settings import platform_settings

logger = logging.getLogger(__name__)

REMAP_VARIABLE = "REMAP_SIGTERM"
POLL_SECONDS = 0.05
# The niceness of children that run upkeep: they get a tenth of the processor time of each other process.
UPKEEP_NICENESS = 10
# The longest time to return unfinished jobs after their child is killed; and the longest wait of a stopping worker for
# an unavailable database: then its lease shows that it stopped.
RETURN_SECONDS, RETIRE_SECONDS = 5.0, 2.0


def restart_with_soft_sigterm() -> None:
    """Restart this process once, so that SIGTERM means Celery's soft shutdown.

    billiard reads the environment variable for that when it is imported, which has already happened.
    """
    if os.environ.get(REMAP_VARIABLE) != "SIGQUIT":
        os.environ[REMAP_VARIABLE] = "SIGQUIT"
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the same command again


def run_worker(
    *, pool_name: str, slots: int | None, processes: int | None, exits_when_drained: bool, region: str
) -> int:
    """Run a worker of a pool until it is stopped, and return the exit status.

    The worker of an I/O pool has ``processes``, by default one. With ``exits_when_drained`` it also ends once the
    worker was drained. Raise WorkerPoolUnfitError for ``processes`` or the ``region`` of another pool.
    """
    hide_worker()
    limits = find_limits()
    registration = register_worker(
        pool_name=pool_name,
        hostname=platform.node(),
        pid=os.getpid(),
        slots=slots,
        version=celery_app().conf.get("worker_version", ""),
        sandbox={**probe_sandbox(), "limits": limits.mode},
        needs_io=processes is not None,
        region=region,
    )
    local = LocalWorker.of(registration, spare_children=_spare_children(registration))
    set_local_worker(local)
    loaded = preload_kinds(registration.pool_id)
    _prepare_children(local, limits)
    watchdog = Watchdog(WORKER_ROLE)
    thread = _start_heartbeat(local, watchdog, processes=processes or 1)
    canaries = CanaryThread(local, pool_name=pool_name)
    worker_ready.connect(canaries.begin)
    facts = {"slots": registration.slots, "queues": registration.queue_names, "preloaded": loaded}
    logger.info("worker.started", extra={"pool": pool_name, **facts})
    try:
        worker = _celery_worker(local, thread)
        thread.sync_queues_with(ConsumerQueues(worker, registration.queue_names, exits_when_drained=exits_when_drained))
        freeze_garbage_collector()
        worker.start()
    finally:
        watchdog.stop()
        thread.stop(timeout_seconds=RETURN_SECONDS)
        report_stop(registration.worker_id, reason=CANARY_LATE if canaries.has_given_up else "")
        canaries.stop()
        end_descendants()
        connections.close_all()
        logger.info("worker.stopped", extra={"pool": pool_name})
    return EXIT_STATUS if canaries.has_given_up else 0


def report_stop(worker_id: UUID, *, reason: str) -> None:
    """Record that the worker has stopped; without a database its expired lease shows that."""
    try:
        retry_on_disconnect(
            lambda: retire_worker(worker_id=worker_id, reason=reason), give_up_after_seconds=RETIRE_SECONDS
        )
    except CONNECTION_ERRORS:
        logger.warning("worker.not_retired", extra={"worker_id": str(worker_id)}, exc_info=True)


def _start_heartbeat(local: LocalWorker, watchdog: Watchdog, *, processes: int) -> HeartbeatThread:
    turn = watchdog.add("heartbeat").turn
    if local.registration.is_io:
        watch: ProcessWatch = IoWatch(local, make_processes(local, processes), turn)
    else:
        watch = ChildWatch(local, turn)
    thread = HeartbeatThread(local, watch)
    thread.fork_between_rounds()
    thread.start()
    return thread


def _spare_children(registration: Registration) -> int:
    """Return the number of spare children, or of spare seats for coroutines; 0 for upkeep only: it settles nothing."""
    if registration.is_io:
        return 1
    return 0 if set(registration.queue_names) <= {UPKEEP_QUEUE} else int(platform_settings.WORKER_SPARE_CHILDREN)


def _prepare_children(local: LocalWorker, limits: ChildLimits) -> None:
    """Prepare the forks: children inherit no connection of this thread; each opens and keeps its own."""
    registration = local.registration
    name_connections(registration.worker_id)
    keep_connections()
    adopt_orphans()
    if not registration.is_io:
        for prepare in (hide_child, adopt_orphans, note_limits, preconnect):
            worker_process_init.connect(prepare)
        _tell_busy_children(local.block)
    worker_process_shutdown.connect(_send_telemetry)
    if UPKEEP_QUEUE in registration.queue_names:
        worker_process_init.connect(_stand_back)
    elif not registration.is_io:
        limit_children(limits, registration.memory_mib)
    connections.close_all()


def _stand_back(**_: Any) -> None:
    """Lower the priority of a child that runs upkeep: checking a million rows must not slow down jobs or pages."""
    os.nice(UPKEEP_NICENESS)


def _tell_busy_children(block: ControlBlock) -> None:
    """Record every message that a child processes in the control block, whether or not it contains executions."""

    def note_task(**_: Any) -> None:
        block.note_task(current_process().index)

    def note_task_over(**_: Any) -> None:
        block.note_task_over(current_process().index)

    task_prerun.connect(note_task, weak=False)
    task_postrun.connect(note_task_over, weak=False)


def _celery_worker(local: LocalWorker, thread: HeartbeatThread) -> Worker:
    # Django's LOGGING applies; Celery configures no logging if this signal has a receiver.
    setup_logging.connect(_leave_logging_alone)
    # Two lines a message would bury the observers' lines about each execution.
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
    app = celery_app()
    app.finalize()
    guard_celery_messages(app)
    registration = local.registration
    own_queue = canary_queue(registration.worker_id)
    app.amqp.queues.add(own_queue)
    worker = SoftlyStoppingWorker(
        app=app,
        hostname=f"{registration.worker_id.hex[:12]}@{registration.hostname}",
        queues=[*registration.queue_names, own_queue.name],
        concurrency=local.permits.children,
        pool=IoPool if registration.is_io else ChildTaskPool,
        quiet=True,
        # Workers neither greet nor watch each other: rows and leases show which are alive.
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.heartbeat_thread, worker.permits = thread, local.permits
    if isinstance(thread.watch, IoWatch):
        worker.pool.use(local.block, thread.watch.processes)
    thread.watch.replace_children_with(worker.replace_children)
    thread.watch.end_orphans_among(worker.adopted_children)
    return worker


def _send_telemetry(**_: Any) -> None:
    """Send the collected spans and log lines before a child ends."""
    tracing.flush()
    for handler in logging.getLogger().handlers:
        handler.flush()


def _leave_logging_alone(**_: Any) -> None:
    """Do nothing; with a receiver of this signal Celery does not configure logging."""


class SoftlyStoppingWorker(Worker):
    """A Celery worker that stops as soon as its jobs have stopped.

    Jobs that do not stop in time are killed and made available again. It fetches only as many messages as it has slots
    for.
    """

    heartbeat_thread: HeartbeatThread
    permits: SlotSemaphore | None = None

    @property
    def max_concurrency(self) -> int | None:
        """Return how many messages the worker may have; Celery reads it before a fetch (``worker_disable_prefetch``).

        While a fetch is pending, all children count: Redis may already have delivered the message, which would stay
        unread.
        """
        if self.permits is None:
            return None
        return self.permits.children if has_open_fetch(self.consumer.task_consumer) else self.permits.fetchable

    @max_concurrency.setter
    def max_concurrency(self, value: int | None) -> None:
        """Ignore the limit of Celery's autoscaler, which is not used."""

    def register_with_event_loop(self, hub: Hub) -> None:
        """Let the event loop check whether to fetch a message as soon as a child's work ends.

        Celery calls this at each connection to the broker.
        """
        super().register_with_event_loop(hub)
        if self.permits is not None:
            hub.add_reader(self.permits.news, self.permits.drain_notifications)

    def install_platform_tweaks(self, worker: Worker) -> None:
        """Make Ctrl-C equivalent to SIGTERM."""
        super().install_platform_tweaks(worker)
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))

    def replace_children(self) -> None:
        """Let the event loop replace dead children now; may be called from any thread."""
        if self.hub is not None and not self.heartbeat_thread.block.is_stopping:
            self.hub.call_soon(self.pool.maintain_pool)

    def adopted_children(self) -> Set[int]:
        """Return the pids of child processes that do not belong to the pool; may be called from any thread."""
        return frozenset() if self.pool is None else self.pool.adopted_children()

    def wait_for_soft_shutdown(self) -> None:
        """Stop the running jobs softly; Celery calls this in its handler of SIGTERM, before it ends running tasks."""
        self.heartbeat_thread.begin_stopping()
        if not self._are_slots_free_within(settings.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT):
            self.heartbeat_thread.take_back_unfinished()
            self._are_slots_free_within(RETURN_SECONDS)

    def _are_slots_free_within(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while any(self.heartbeat_thread.block.held_slots()):
            if time.monotonic() >= until:
                return False
            time.sleep(POLL_SECONDS)
        return True
