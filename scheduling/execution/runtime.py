"""The implementation of the services that a running job calls through its context."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import IO

from django.db import connection

from scheduling.conf import MAX_PAYLOAD_BYTES
from scheduling.exceptions import FenceLostError
from scheduling.execution import policy
from scheduling.execution.checkpoints import require_fence, save_checkpoint, save_progress
from scheduling.execution.dependencies import DependencyUse
from scheduling.execution.json_limits import storable_json
from scheduling.execution.logs.job_log import END_SECONDS, JobLogWriter
from scheduling.execution.output import JobOutput
from scheduling.execution.registered_work import RegisteredWork, check_child
from scheduling.execution.settlement import Progress, Settlement
from scheduling.execution.start import StartedExecution
from scheduling.jobs.artifacts import NewArtifact, require_artifact_store
from scheduling.jobs.batches.queries import children_of
from scheduling.kit.base import (
    Child,
    ChildJob,
    Dependency,
    Effects,
    Interrupted,
    Json,
    LogLevel,
)
from scheduling.worker.control_block import Cause, Seat
from scheduling.worker.process_state import CONNECTION_ERRORS, retry_on_disconnect
from tenants.context import tenant_context

logger = logging.getLogger(__name__)

# The longest time until a progress report is visible.
PROGRESS_SECONDS = 1.0
# The log's thread waits this long for the job's row before it retries a second later.
LATE_PATIENCE_MS = 200
# The longest that the end of an execution waits for an unavailable database to take the rest of the output.
OUTPUT_PATIENCE_SECONDS = 10.0


class ExecutionRuntime:
    """The implementation of :class:`~scheduling.kit.runtime.JobRuntime` for one execution."""

    def __init__(self, started: StartedExecution, seat: Seat, log: JobLogWriter) -> None:
        self._started = started
        self._seat = seat
        self._log = log
        # Made when the first is named: most jobs name none.
        self._dependencies: DependencyUse | None = None
        self._output: JobOutput | None = None
        self._registered = RegisteredWork(started)
        self._unsaved_progress: Progress | None = None
        self._progress_due_at = time.monotonic() + PROGRESS_SECONDS
        # The log's thread writes a report that no other one follows.
        self._progress_guard = threading.Lock()
        self._progress_writing = threading.Lock()
        log.also_write(self._write_late)

    def checkpoint(self, state: Json, effects: Effects | None) -> None:
        """Store the state with its effects and messages; then raise Interrupted if a stop was requested."""
        clean = storable_json(state, what="checkpoint", max_bytes=MAX_PAYLOAD_BYTES)
        self._under_fence(
            lambda: save_checkpoint(
                tenant_id=self._started.tenant_id,
                job_id=self._started.job_id,
                fence=self._started.fence,
                state=clean,
                effects=self._registered.with_messages(effects),
            )
        )
        self._registered.messages.clear()
        self._log.flush_if_due()
        self.stop_if_requested()

    def in_settlement(self, effects: Effects) -> None:
        """Register ``effects`` for the transaction that settles this execution as completed."""
        self._registered.effects.append(effects)

    def report_progress(self, current: int, total: int, message: str) -> None:
        """Store the progress once a second; a report between two writes is written later, at the end at the latest."""
        self._keep_progress(current, total, message)
        # A write in a transaction of the job is invisible, and lost if that is rolled back.
        if time.monotonic() >= self._progress_due_at and not connection.in_atomic_block:
            self._under_fence(self._write_progress)
        else:
            self._log.write_later()
        self._log.flush_if_due()

    def note_progress(self, current: int, total: int, message: str) -> None:
        """Keep the progress, which the log's thread stores within a second."""
        self._keep_progress(current, total, message)
        self._log.write_later()

    @property
    def unsaved_progress(self) -> Progress | None:
        """Return the last progress if it is not stored yet."""
        return self._unsaved_progress

    @property
    def has_output(self) -> bool:
        """Return whether output waits to be written."""
        return self._output is not None and self._output.is_waiting

    def note_progress_saved(self, progress: Progress) -> None:
        """Record that this progress is stored."""
        with self._progress_guard:
            if self._unsaved_progress is progress:
                self._unsaved_progress = None

    def should_yield(self) -> bool:
        """Return whether a yield of this job was requested; raise Interrupted if a stop was requested."""
        self._log.flush_if_due()
        self.stop_if_requested()
        return self._seat.is_yield_requested

    def stop_if_requested(self) -> None:
        """Raise Interrupted if a stop was requested."""
        cause = self._seat.interruption()
        if cause is not None:
            raise Interrupted(cause.value)

    def log(self, message: str, level: LogLevel, fields: Json) -> None:
        """Add a line to the job's log."""
        self._log.add(message, level, fields)

    def stream(self, name: str, text: str, *, restart: bool) -> None:
        """Keep text of an output for the log's thread, which stores it within a second."""
        with self._progress_guard:
            self._output = self._output or JobOutput(self._started)
        self._output.add(name, text, restart=restart)
        self._log.write_later()

    def attach(self, name: str, file: bytes | IO[bytes], content_type: str) -> None:
        """Store a file as an artifact of the job, under the fence."""
        store, job_id, fence = require_artifact_store(), self._started.job_id, self._started.fence
        opened = io.BytesIO(file) if isinstance(file, bytes) else file
        new = NewArtifact(self._started.tenant_id, job_id, name, content_type, opened)
        self._under_fence(lambda: store.attach(new, lambda: require_fence(job_id=job_id, fence=fence)))

    def may_upload(self, name: str, file: IO[bytes], content_type: str) -> bool:
        """Return whether there seems to be room for the file; raise PermanentError if `attach` would refuse it."""
        new = NewArtifact(self._started.tenant_id, self._started.job_id, name, content_type, file)
        return require_artifact_store().may_upload(new)

    def upload(self, file: IO[bytes]) -> None:
        """Write a file that will be attached to the storage, in a thread without a database connection."""
        require_artifact_store().upload(self._started.tenant_id, file)

    def enter_dependency(self, dependency: Dependency) -> None:
        """Check the dependency before the job uses it; raise Interrupted if it is down."""
        if self._dependencies is None:
            # Two threads of the job may name their first at once.
            with self._progress_guard:
                self._dependencies = self._dependencies or DependencyUse(self._started)
        self._dependencies.enter(dependency)

    def leave_dependency(self, dependency: Dependency, error: BaseException | None) -> None:
        """Record how the dependency answered; ``error`` is None if it worked."""
        if self._dependencies is not None:
            self._dependencies.leave(dependency, error)

    def submit_child(self, child: Child) -> None:
        """Register a child, to be submitted in the transaction that ends this execution well."""
        self._registered.submit_child(child)

    def check_child(self, child: Child) -> None:
        """Raise PermanentError, with the code of the refusal, if the kind or the payload of a child is refused."""
        with tenant_context(self._started.tenant_id):
            check_child(self._started.job_id, child)

    def emit(self, topic: str, message: Json, key: str) -> None:
        """Keep a message for the next checkpoint or the settlement."""
        self._registered.messages.add(topic, message, key)

    def children(self) -> Sequence[ChildJob]:
        """Return the children that the job last waited for, with their results."""
        with tenant_context(self._started.tenant_id):
            return [
                ChildJob(job.pk, job.kind, job.state, job.result, job.error_type, job.error_message)
                for job in children_of(self._started.job_id)
            ]

    def settlement_of(self, cause: str) -> Settlement | None:
        """Return the settlement of this execution after it was stopped for ``cause``.

        Return None if this worker must not settle it, because another one has taken the job.
        """
        if self._dependencies is None:
            return policy.interruption_of(cause, self._started)
        return self._dependencies.settlement_of(cause)

    def with_reports(self, settlement: Settlement, *, writes_output: bool = True) -> Settlement:
        """Return a copy of the settlement with the dependencies used, and with the last progress if still unwritten.

        Write what is left of the output first, unless the caller has done that.
        """
        if self._dependencies is not None:
            settlement = self._dependencies.told_by(settlement)
        # So that the thread has none in its hands.
        self._log.end_thread()
        # A transaction that the processor left open is rolled back.
        if writes_output and not connection.in_atomic_block:
            self.write_last_output()
        progress = self._take_progress()
        return settlement if progress is None else replace(settlement, progress=progress)

    def settlement_effects(self, settlement: Settlement) -> Callable[[], None] | None:
        """Return all effects to run in the transaction of this settlement as one function; None if there are none."""
        return self._registered.effects_of(settlement)

    def _keep_progress(self, current: int, total: int, message: str) -> None:
        progress = Progress.of(current, total, message)
        with self._progress_guard:
            self._unsaved_progress = progress

    def _take_progress(self) -> Progress | None:
        with self._progress_guard:
            progress, self._unsaved_progress = self._unsaved_progress, None
            self._progress_due_at = time.monotonic() + PROGRESS_SECONDS
        return progress

    def _write_progress(self, *, patience_ms: int | None = None) -> bool:
        """Write the last report; return whether there was one."""
        # One at a time, so that reports stay in order. Do not wait for the other thread: it may wait for the job's row,
        # which a transaction of this one may hold.
        if not self._progress_writing.acquire(blocking=False):
            return True
        try:
            return self._write_taken(self._take_progress(), patience_ms)
        finally:
            self._progress_writing.release()

    def _write_taken(self, progress: Progress | None, patience_ms: int | None) -> bool:
        if progress is None:
            return False
        try:
            save_progress(
                tenant_id=self._started.tenant_id,
                job_id=self._started.job_id,
                fence=self._started.fence,
                progress=progress,
                patience_ms=patience_ms,
            )
        except CONNECTION_ERRORS:
            with self._progress_guard:
                self._unsaved_progress = self._unsaved_progress or progress
            raise
        return True

    def write_last_output(self) -> None:
        """Write what is left of the output, so that a reader who sees the job ended has all of it."""
        if (output := self._output) is None or not output.is_waiting:
            return
        try:
            retry_on_disconnect(
                lambda: output.write(wait_seconds=END_SECONDS), give_up_after_seconds=OUTPUT_PATIENCE_SECONDS
            )
        except Exception:
            logger.exception("job_output.not_written", extra={"job": str(self._started.job_id)})
            self._log.add("output was lost", "warning", {"characters": output.waiting_characters})

    def write_output(self) -> bool:
        """Write output that waits, if the job's row is free soon; return whether there was any."""
        return self._output is not None and self._output.write(patience_ms=LATE_PATIENCE_MS)

    def _write_late(self) -> bool:
        try:
            has_output = self.write_output()
            return self._write_progress(patience_ms=LATE_PATIENCE_MS) or has_output
        except FenceLostError:
            # The job's own thread raises this at its next safe point.
            return False

    def _under_fence(self, write: Callable[[], object]) -> None:
        try:
            write()
        except FenceLostError as error:
            raise Interrupted(Cause.FENCE_LOST.value) from error
