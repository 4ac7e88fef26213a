"""A Celery worker under our heartbeat: started, stopped softly, and retired."""

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
from scheduling.celery.strangers import distrust_messages
from scheduling.conf import UPKEEP_QUEUE
from scheduling.fleet.queries import WORKER_ROLE
from scheduling.fleet.workers import Registration, register_worker, retire_worker
from scheduling.sandbox.isolated import probe_sandbox
from scheduling.worker.canary_sender import CANARY_LATE, CanarySender, canary_queue
from scheduling.worker.children import ChildTaskPool
from scheduling.worker.connections import (
    CONNECTION_ERRORS,
    connect_early,
    keep_connections,
    name_connections,
    persistently,
)
from scheduling.worker.consumer import QueueFollower
from scheduling.worker.control_block import ControlBlock
from scheduling.worker.heartbeat import HeartbeatThread
from scheduling.worker.leftovers import adopt_orphans, end_descendants, note_limits
from scheduling.worker.memory import hide_child, hide_worker
from scheduling.worker.preloading import leave_to_children, preload_kinds
from scheduling.worker.registration import LocalWorker, become
from scheduling.worker.slots import Permits
from scheduling.worker.watchdog import EXIT_STATUS, Watchdog
from tenants.database.platform_settings import platform_settings

logger = logging.getLogger(__name__)

REMAP_VARIABLE = "REMAP_SIGTERM"
POLL_SECONDS = 0.05
# Where others want all processor time, who does upkeep has a tenth of what each of them has.
UPKEEP_NICENESS = 10
# How long what is unfinished may take to be returned once its child is killed.
RETURN_SECONDS = 5.0
# How long a worker that stops waits for a database that is away; then its lease says that it has stopped.
RETIRE_SECONDS = 2.0


def restart_with_soft_sigterm() -> None:
    """Make SIGTERM mean Celery's soft shutdown.

    billiard reads the variable when it is imported, which has happened by now, so the process
    replaces itself once.
    """
    if os.environ.get(REMAP_VARIABLE) != "SIGQUIT":
        os.environ[REMAP_VARIABLE] = "SIGQUIT"
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves, once more


def run_worker(*, pool_name: str, concurrency: int, exits_when_drained: bool = False) -> int:
    """Serve the queues of a pool until asked to stop, or drained if told so; the status to exit with."""
    hide_worker()
    registration = register_worker(
        pool_name=pool_name,
        hostname=platform.node(),
        pid=os.getpid(),
        slots=concurrency,
        version=celery_app().conf.get("worker_version", ""),
        sandbox=probe_sandbox(),
    )
    local = LocalWorker.of(registration, spare_children=_spare_children(registration))
    become(local)
    loaded = preload_kinds(registration.pool_id)
    name_connections(registration.worker_id)
    _prepare_children(does_upkeep=UPKEEP_QUEUE in registration.queue_names)
    watchdog = Watchdog(WORKER_ROLE)
    thread = _start_heartbeat(local, watchdog)
    canaries = CanarySender(local, pool_name=pool_name)
    worker_ready.connect(canaries.begin)
    _tell_busy_children(local.block)
    worker_process_shutdown.connect(_send_spans)
    logger.info(
        "worker.started",
        extra={"pool": pool_name, "slots": concurrency, "queues": registration.queue_names, "preloaded": loaded},
    )
    try:
        worker = _celery_worker(local, thread)
        follower = QueueFollower(worker, registration.queue_names, exits_when_drained=exits_when_drained)
        thread.follow_queues_with(follower)
        leave_to_children()
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
    """Report that the worker has stopped; without a database its lease says so."""
    try:
        persistently(lambda: retire_worker(worker_id=worker_id, reason=reason), give_up_after_seconds=RETIRE_SECONDS)
    except CONNECTION_ERRORS:
        logger.warning("worker.not_retired", extra={"worker_id": str(worker_id)}, exc_info=True)


def _start_heartbeat(local: LocalWorker, watchdog: Watchdog) -> HeartbeatThread:
    thread = HeartbeatThread(local, watchdog.add("heartbeat").turn)
    thread.fork_between_rounds()
    thread.start()
    return thread


def _spare_children(registration: Registration) -> int:
    """None where there is upkeep alone, which has nothing to settle."""
    return 0 if set(registration.queue_names) <= {UPKEEP_QUEUE} else int(platform_settings.WORKER_SPARE_CHILDREN)


def _prepare_children(*, does_upkeep: bool) -> None:
    """They must inherit no connection of this thread; each opens its own, and keeps it."""
    keep_connections()
    adopt_orphans()
    worker_process_init.connect(hide_child)
    worker_process_init.connect(adopt_orphans)
    worker_process_init.connect(note_limits)
    worker_process_init.connect(connect_early)
    if does_upkeep:
        worker_process_init.connect(_stand_back)
    connections.close_all()


def _stand_back(**_: Any) -> None:
    """In a child that does upkeep: verification of a million rows must not be felt by whoever has a job or a page."""
    os.nice(UPKEEP_NICENESS)


def _tell_busy_children(block: ControlBlock) -> None:
    """Let every message that a child works on show in the control block, executions or not."""

    def note_task(**_: Any) -> None:
        block.note_task(current_process().index)

    def note_task_over(**_: Any) -> None:
        block.note_task_over(current_process().index)

    task_prerun.connect(note_task, weak=False)
    task_postrun.connect(note_task_over, weak=False)


def _celery_worker(local: LocalWorker, thread: HeartbeatThread) -> Worker:
    # Django's LOGGING stands; Celery configures none of its own when somebody listens here.
    setup_logging.connect(_leave_logging_alone)
    # Two lines a message would drown what the observers say about each execution.
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
    app = celery_app()
    app.finalize()
    distrust_messages(app)
    registration = local.registration
    own_queue = canary_queue(registration.worker_id)
    app.amqp.queues.add(own_queue)
    worker = SoftlyStoppingWorker(
        app=app,
        hostname=f"{registration.worker_id.hex[:12]}@{registration.hostname}",
        queues=[*registration.queue_names, own_queue.name],
        concurrency=local.permits.children,
        pool=ChildTaskPool,
        quiet=True,
        # Workers neither greet nor watch one another: rows and leases say who lives.
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.heartbeat_thread, worker.permits = thread, local.permits
    thread.replace_children_with(worker.replace_children)
    thread.end_orphans_among(worker.adopted_children)
    return worker


def _send_spans(**_: Any) -> None:
    """Before a child ends."""
    tracing.flush()


def _leave_logging_alone(**_: Any) -> None:
    """Celery's sign that logging is set up."""


class SoftlyStoppingWorker(Worker):
    """Stops as soon as its jobs have stopped, and returns those that do not in time. Fetches what it has slots for."""

    heartbeat_thread: HeartbeatThread
    permits: Permits | None = None

    @property
    def max_concurrency(self) -> int | None:
        """How many messages it may have: Celery asks each time that it may fetch one (``worker_disable_prefetch``).

        While the broker has been asked for one, whoever would receive it is not counted out: Redis may have given it
        already, and it would lie unread.
        """
        if self.permits is None:
            return None
        return self.permits.children if self._has_asked_for_one else self.permits.fetchable

    @max_concurrency.setter
    def max_concurrency(self, value: int | None) -> None:
        """Celery says how far its own autoscaler may go, which we have not."""

    @property
    def _has_asked_for_one(self) -> bool:
        tasks = self.consumer.task_consumer
        return tasks is not None and bool(getattr(tasks.channel, "_in_poll", False))

    def register_with_event_loop(self, hub: Hub) -> None:
        """Have the loop look whether it may fetch as soon as a child's work ends; at each connection anew."""
        super().register_with_event_loop(hub)
        if self.permits is not None:
            hub.add_reader(self.permits.news, self.permits.hear)

    def install_platform_tweaks(self, worker: Worker) -> None:
        """Let Ctrl-C mean what SIGTERM means."""
        super().install_platform_tweaks(worker)
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))

    def replace_children(self) -> None:
        """Have the event loop reap and replace dead children now; callable from any thread."""
        if self.hub is not None and not self.heartbeat_thread.block.is_stopping:
            self.hub.call_soon(self.pool.maintain_pool)

    def adopted_children(self) -> Set[int]:
        """Return the children that are none of the pool's; callable from any thread."""
        pool = getattr(self.pool, "_pool", None)
        return frozenset() if pool is None else pool.adopted_children()

    def wait_for_soft_shutdown(self) -> None:
        """Called by Celery in the handler of SIGTERM, before it ends what still runs."""
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
