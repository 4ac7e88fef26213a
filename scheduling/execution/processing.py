"""The run of one execution: its processor works, each way in which that ends gives a settlement, and that is stored."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from copy import deepcopy
from dataclasses import dataclass, replace
from inspect import iscoroutinefunction
from typing import Any

from django.db import connection

from scheduling import tracing
from scheduling.controls.runs import checked_run
from scheduling.exceptions import FenceLostError, KindUnknownError
from scheduling.execution import policy, settlement_builders
from scheduling.execution.coroutines import GRACE_SECONDS, CoroutineProcessor, TimeLimitError
from scheduling.execution.costs import UNKNOWN, CostMeter, Costs
from scheduling.execution.logs.job_log import JobLogWriter, capturing
from scheduling.execution.policy import settlement_of_lost_session
from scheduling.execution.runtime import ExecutionRuntime
from scheduling.execution.settlement import Settlement
from scheduling.execution.settlement import settle as settle_executions
from scheduling.execution.start import StartedExecution
from scheduling.jobs.result_cache.service import ResultCache
from scheduling.kit import registry
from scheduling.kit.base import Interrupted, JobContext, JobRuntime, Outcome, TaskProcessor
from scheduling.kit.retry import RetryPolicy, plain_delay_seconds
from scheduling.worker import process_state
from scheduling.worker.child_limits import serve_tier
from scheduling.worker.control_block import Seat
from scheduling.worker.orphan_processes import end_processes_of_job
from scheduling.worker.process_state import CONNECTION_ERRORS, retry_on_disconnect
from tenants.settings.schema import settings_of
from tenants.transactions import is_session_timeout, session_errors

logger = logging.getLogger(__name__)

# Finished work waits this long for an unavailable database; then the lease decides.
SETTLE_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class PendingSettlement:
    """The settlement of an execution, still to be stored, and the processor's effects in the same transaction.

    ``settlement`` is None if another worker has taken the job.
    """

    settlement: Settlement | None
    effects: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """An execution that ran for ``seconds`` and is not settled yet.

    ``is_spoiled``: its processor left a transaction open or exhausted the process, so that no other job may run in this
    process.
    """

    started: StartedExecution
    pending: PendingSettlement
    log: JobLogWriter
    is_spoiled: bool
    seconds: float
    costs: Costs = UNKNOWN

    def with_costs(
        self, *, began_us: int | None = None, measured_us: int | None = None, is_end_announced: bool = False
    ) -> PendingSettlement:
        """Set the execution's cost in its pending settlement, and return that."""
        if self.pending.settlement is not None:
            self.pending.settlement.is_end_announced = is_end_announced
            self.pending.settlement.bill(self.costs, began_us=began_us, measured_us=measured_us)
        return self.pending


def log_writer_of(started: StartedExecution, *, is_shared: bool = False) -> JobLogWriter:
    """Return a new log writer for the execution; with ``is_shared`` it is written together with others."""
    return JobLogWriter(
        tenant_id=started.tenant_id,
        job_id=started.job_id,
        execution_id=started.execution_id,
        attempt=started.attempt,
        is_shared=is_shared,
        facts={"kind": started.kind, "queue": started.queue, "traceparent": started.traceparent},
    )


def run_execution(started: StartedExecution, seat: Seat, span: tracing.Span, log: JobLogWriter) -> ExecutionResult:
    """Run a started execution, and return its result, which the caller settles."""
    began = time.monotonic()
    serve_tier(started.tier)
    meter = CostMeter()
    with checked_run(started) as check:
        try:
            # In a copy of the context, so that context variables that a processor sets end with its job.
            pending = copy_context().run(run_processor, started, seat, log)
            if process_state.has_left_processes():
                end_processes_of_job(log)
            costs = meter.read()
            is_spoiled = _is_spoiled()
        finally:
            seconds = time.monotonic() - began
            # A reader that sees the job ended finds its log complete.
            log.end()
    check.finish(pending.settlement)
    if pending.settlement is not None and pending.settlement.error_type:
        span.fail(pending.settlement.error_type)
    return ExecutionResult(started, pending, log, is_spoiled, seconds, costs)


def _is_spoiled() -> bool:
    if process_state.drop_open_transaction():
        # Code that holds that transaction may still use the connection during a later job, even of another tenant.
        logger.error("processor.left_transaction_open")
        return True
    return process_state.is_exhausted()


def run_processor(started: StartedExecution, seat: Seat, log: JobLogWriter) -> PendingSettlement:
    """Run the kind's processor, and return the settlement for the way in which it ended."""
    if (unrun := settlement_without_run(started)) is not None:
        return PendingSettlement(unrun)
    kind = registry.get(started.kind)
    retries = policy.retry_policy(started, kind)
    note_begun(seat, started, kind, retries)
    runtime = ExecutionRuntime(started, seat, log)
    try:
        with capturing(kind, log):
            context = context_of(started, runtime, settings_for(kind, started))
            processor = CoroutineProcessor(kind(), runtime, seat) if iscoroutinefunction(kind.process) else kind()
            settlement = _answer(kind, processor, context, runtime, started, retries)
    except Interrupted as interruption:
        stopped = runtime.settlement_of(interruption.cause)
        return PendingSettlement(None if stopped is None else runtime.with_reports(stopped))
    return PendingSettlement(runtime.with_reports(settlement), runtime.settlement_effects(settlement))


def settlement_without_run(started: StartedExecution) -> Settlement | None:
    """Return the settlement of an execution whose processor cannot run here; None if it can."""
    if started.is_expired:
        return settlement_builders.expired(started.execution_id, started.fence)
    if started.unreadable is not None:
        logger.error("execution.unreadable", extra={"job": str(started.job_id), "cause": started.unreadable.detail})
        return policy.unreadable_of(started, started.unreadable)
    try:
        registry.get(started.kind)
    except KindUnknownError:
        # Another worker of the pool may have it; otherwise the dispatcher holds the job back.
        logger.warning("execution.kind_unknown", extra={"kind": started.kind, "job": str(started.job_id)})
        return policy.kind_unknown_of(started)
    return None


def note_begun(seat: Seat, started: StartedExecution, kind: type[TaskProcessor], retries: RetryPolicy) -> None:
    """Record in the seat what the parent needs to end the execution."""
    seat.note_begun(
        fence=started.fence,
        attempt=started.attempt,
        crash_count=started.crash_count,
        max_retries=started.max_retries,
        kind=started.kind,
        timeout_seconds=kind.timeout_seconds + (GRACE_SECONDS if iscoroutinefunction(kind.process) else 0.0),
        memory_limit_mib=started.memory_limit_mib,
        retry_delay_seconds=plain_delay_seconds(retries, started.attempt),
    )


def with_costs_of(before: Settlement, after: Settlement) -> Settlement:
    """Return a copy of the settlement ``after`` with the costs, dependencies and progress of ``before``."""
    return replace(
        after,
        peak_memory_kib=before.peak_memory_kib,
        cpu_us=before.cpu_us,
        io_bytes=before.io_bytes,
        began_us=before.began_us,
        measured_us=before.measured_us,
        dependencies=before.dependencies,
        progress=before.progress,
    )


def settle_with_effects(pending: PendingSettlement, started: StartedExecution) -> bool:
    """Store a settlement and run its effects in one transaction; if the effects fail, settle the attempt as failed.

    Return False if the database was away for SETTLE_PATIENCE_SECONDS, so that the execution may still be live.
    """
    if pending.settlement is None:
        logger.warning("execution.superseded", extra={"execution_id": str(started.execution_id)})
        return True
    settlement = pending.settlement
    try:
        settled = retry_on_disconnect(
            lambda: settle_executions([settlement], effects=pending.effects),
            give_up_after_seconds=SETTLE_PATIENCE_SECONDS,
        )
    except FenceLostError:
        settled = []
    except Exception as error:
        is_away = isinstance(error, CONNECTION_ERRORS) and not is_session_timeout(error)
        if is_away:
            logger.exception("execution.not_settled", extra={"execution_id": str(started.execution_id)})
            return False
        if pending.effects is None:
            raise
        # The effects are the processor's code: their failure fails the attempt.
        retries = policy.retry_policy(started, registry.get(started.kind))
        failure = policy.failure_of(error, started, retries)
        return settle_with_effects(PendingSettlement(with_costs_of(settlement, failure)), started)
    if not settled:
        logger.warning("execution.superseded", extra={"execution_id": str(started.execution_id)})
    return True


def settings_for(kind: type[TaskProcessor], started: StartedExecution) -> Mapping[str, Any]:
    """Return the current settings that the kind declares; without any, run no statement."""
    if not kind.settings:
        return {}
    values = settings_of(started.tenant_id)
    # Copies: the cached values are shared.
    return {key: deepcopy(values[key]) for key in kind.settings if key in values}


def context_of(started: StartedExecution, runtime: JobRuntime, settings: Mapping[str, Any]) -> JobContext:
    """Return the context that the processor of a started execution receives."""
    return JobContext(
        tenant_id=started.tenant_id,
        job_id=started.job_id,
        execution_id=started.execution_id,
        kind=started.kind,
        payload=started.payload,
        attempt=started.attempt,
        state=started.checkpoint,
        fencing_token=started.fence,
        idempotency_key=started.idempotency_key,
        deadline_at=started.deadline_at,
        runtime=runtime,
        settings=settings,
    )


def _answer(
    kind: type[TaskProcessor],
    processor: TaskProcessor | CoroutineProcessor,
    context: JobContext,
    runtime: ExecutionRuntime,
    started: StartedExecution,
    retries: RetryPolicy,
) -> Settlement:
    """Run the processor, and let it handle its own error."""
    reuse = ResultCache(kind, context) if kind.result_kept_seconds else None
    try:
        with session_errors(connection):
            answer = (reuse and reuse.find()) or processor.process(context)
            settlement = policy.settlement_of(answer, started, retries)
            return settlement if reuse is None else reuse.kept(settlement)
    except (Interrupted, SystemExit, KeyboardInterrupt):
        # The last two end the process; the parent settles the execution as a crash.
        raise
    except BaseException as error:  # noqa: BLE001 - any error of a plug-in is its attempt's error
        if (ended := ended_by_platform(error, kind, started, retries)) is not None:
            return ended
        return _answer_to_error(kind, processor, context, error, started, retries)


def _answer_to_error(
    kind: type[TaskProcessor],
    processor: TaskProcessor | CoroutineProcessor,
    context: JobContext,
    error: BaseException,
    started: StartedExecution,
    retries: RetryPolicy,
) -> Settlement:
    try:
        with session_errors(connection):
            answer: Outcome | Mapping[str, Any] | None = processor.handle_error(context, error)
        if answer is not None:
            return policy.settlement_of(answer, started, retries)
    except Exception as second:
        if (ended := ended_by_platform(second, kind, started, retries)) is not None:
            return ended
        logger.exception("processor.handle_error_failed")
        second.__context__ = error
        return policy.failure_of(second, started, retries)
    return policy.failure_of(error, started, retries)


def ended_by_platform(
    error: BaseException, kind: type[TaskProcessor], started: StartedExecution, retries: RetryPolicy
) -> Settlement | None:
    """Return the settlement for an error that is not the processor's own: a time limit or a lost session; else None."""
    if isinstance(error, TimeLimitError):
        return policy.timed_out_of(started, retries, seconds=kind.timeout_seconds)
    return settlement_of_lost_session(started, error)
