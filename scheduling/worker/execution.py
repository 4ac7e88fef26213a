"""One execution in a child: claim → start → perform → settle → announce.

Charging is part of the statement that settles, and what is announced (telemetry, the
dispatcher's wake-up) is sent when that transaction has committed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import structlog

from scheduling import tracing
from scheduling.exceptions import FenceLostError, KindUnknownError
from scheduling.processors import registry
from scheduling.processors.base import Interrupted, JobContext, Outcome, TaskProcessor
from scheduling.retry import RetryPolicy
from scheduling.services import verdicts
from scheduling.services.execution import StartedExecution, start_execution
from scheduling.services.settlement import Settlement
from scheduling.services.settlement import settle as settle_executions
from scheduling.worker import memory, policy
from scheduling.worker.connections import (
    CONNECTION_ERRORS,
    check_connection,
    drop_open_transaction,
    is_connection_lost,
    persistently,
)
from scheduling.worker.control_block import Seat
from scheduling.worker.job_log import JobLogWriter
from scheduling.worker.log_capture import capturing
from scheduling.worker.registration import LocalWorker
from scheduling.worker.runtime import ExecutionRuntime
from tenants.selectors.settings import settings_of

logger = logging.getLogger(__name__)

# A start that the database does not take in this time is left to be published again.
START_PATIENCE_SECONDS = 5.0
# Work that is done waits this long for a database that is away; then the lease decides.
SETTLE_PATIENCE_SECONDS = 60.0
EXIT_SPOILED = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the execution ends, and the processor's effects that belong into the same transaction."""

    settlement: Settlement | None
    effects: Callable[[], None] | None = None


def execute(*, execution_id: UUID, token: UUID, child_index: int, worker: LocalWorker) -> None:
    """Run one execution to its settlement; a stale or unknown one is a logged no-op.

    Raises SystemExit, so that the child is replaced, when a processor left a transaction open.
    """
    seat = claim(worker, child_index, execution_id)
    started = start(worker, execution_id, token)
    if started is None:
        logger.info("execution.not_started", extra={"execution_id": str(execution_id)})
        seat.release()
        return
    ids = {
        "tenant_id": str(started.tenant_id),
        "job_id": str(started.job_id),
        "execution_id": str(started.execution_id),
        "kind": started.kind,
    }
    with (
        structlog.contextvars.bound_contextvars(**ids),
        tracing.span(
            "job.execute", parent=started.traceparent, queue=started.queue, attempt=started.attempt, **ids
        ) as span,
    ):
        is_spoiled = see_through(started, seat, span)
    # Not in a `finally`: when this process is being ended, the parent must still find the slot held.
    seat.release()
    if is_spoiled:
        # Whatever holds that transaction may still act on the connection of a later job, another tenant's.
        logger.error("processor.left_transaction_open", extra={"kind": started.kind})
        raise SystemExit(EXIT_SPOILED)


def see_through(started: StartedExecution, seat: Seat, span: tracing.Span) -> bool:
    """Perform and settle a started execution; whether its processor left a transaction open."""
    log = _log_of(started)
    is_peak_known = memory.reset_peak()
    try:
        # In a copy of the context: what a processor sets in context variables ends with its job.
        verdict = copy_context().run(perform, started, seat, log)
        verdict = with_peak(verdict, memory.read_peak_kib() if is_peak_known else None)
        is_spoiled = drop_open_transaction()
    finally:
        # Before the settlement: whoever sees the job ended finds its log whole.
        log.end()
    if verdict.settlement is not None and verdict.settlement.error_type:
        span.fail(verdict.settlement.error_type)
    settle(verdict, started)
    # What the effects of the settlement logged, or what a database that was away did not take.
    log.flush()
    return is_spoiled


def claim(worker: LocalWorker, child_index: int, execution_id: UUID) -> Seat:
    """Show the parent what this child is about to run."""
    check_connection()
    return worker.block.take_seat(child_index, execution_id)


def start(worker: LocalWorker, execution_id: UUID, token: UUID) -> StartedExecution | None:
    """Make the execution ours; None where it is not to be had."""
    return persistently(
        lambda: start_execution(execution_id=execution_id, token=token, worker_id=worker.worker_id),
        give_up_after_seconds=START_PATIENCE_SECONDS,
    )


def perform(started: StartedExecution, seat: Seat, log: JobLogWriter) -> Verdict:
    """Let the kind's processor do the work; every way in which that may end is a verdict."""
    if started.is_expired:
        return Verdict(verdicts.expired(started.execution_id, started.fence))
    try:
        kind = registry.get(started.kind)
    except KindUnknownError as error:
        return Verdict(policy.failure_of(error, started, RetryPolicy(started.max_retries)))
    seat.note_begun(
        fence=started.fence,
        attempt=started.attempt,
        crash_count=started.crash_count,
        max_retries=started.max_retries,
        kind=started.kind,
        timeout_seconds=kind.timeout_seconds,
        memory_limit_mib=started.memory_limit_mib,
    )
    runtime = ExecutionRuntime(started, seat, log)
    retries = policy.retry_policy(started, kind)
    try:
        with capturing(kind, log):
            context = _context(started, runtime, _settings(kind, started))
            settlement = _answer(kind(), context, runtime, started, retries)
    except Interrupted as interruption:
        return Verdict(policy.interruption_of(interruption.cause, started))
    is_completed = settlement.outcome == verdicts.Outcome.COMPLETED
    return Verdict(settlement, runtime.settlement_effects() if is_completed else None)


def with_peak(verdict: Verdict, peak_memory_kib: int | None) -> Verdict:
    """The verdict with the most memory that the job had."""
    if verdict.settlement is None:
        return verdict
    return replace(verdict, settlement=replace(verdict.settlement, peak_memory_kib=peak_memory_kib))


def settle(verdict: Verdict, started: StartedExecution) -> None:
    """Make the verdict true, with its effects or not at all."""
    if verdict.settlement is None:
        logger.warning("execution.superseded", extra={"execution_id": str(started.execution_id)})
        return
    settlement = verdict.settlement
    try:
        settled = persistently(
            lambda: settle_executions([settlement], effects=verdict.effects),
            give_up_after_seconds=SETTLE_PATIENCE_SECONDS,
        )
    except FenceLostError:
        settled = []
    except CONNECTION_ERRORS:
        logger.exception("execution.not_settled", extra={"execution_id": str(started.execution_id)})
        return
    except Exception as error:
        if verdict.effects is None:
            raise
        # The effects are the processor's own code: their failure is the attempt's.
        retries = policy.retry_policy(started, registry.get(started.kind))
        failed = with_peak(Verdict(policy.failure_of(error, started, retries)), settlement.peak_memory_kib)
        settle(failed, started)
        return
    if not settled:
        logger.warning("execution.superseded", extra={"execution_id": str(started.execution_id)})


def _log_of(started: StartedExecution) -> JobLogWriter:
    return JobLogWriter(
        tenant_id=started.tenant_id,
        job_id=started.job_id,
        execution_id=started.execution_id,
        attempt=started.attempt,
    )


def _settings(kind: type[TaskProcessor], started: StartedExecution) -> Mapping[str, Any]:
    """The settings that the kind asks for, as they are now; a kind that asks for none costs no statement."""
    if not kind.settings:
        return {}
    values = settings_of(started.tenant_id)
    return {key: values[key] for key in kind.settings if key in values}


def _context(started: StartedExecution, runtime: ExecutionRuntime, settings: Mapping[str, Any]) -> JobContext:
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
    processor: TaskProcessor,
    context: JobContext,
    runtime: ExecutionRuntime,
    started: StartedExecution,
    retries: RetryPolicy,
) -> Settlement:
    """Ask the processor, and ask it again about its own error."""
    try:
        answer = processor.process(context)
        runtime.flush_progress()
        return policy.settlement_of(answer, started, retries)
    except (Interrupted, SystemExit, KeyboardInterrupt):
        # The last two end the process; the parent settles it as a crash.
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a plug-in raises is its attempt's error
        if isinstance(error, CONNECTION_ERRORS) and is_connection_lost():
            # The database went away under the job: that burns no attempt of its own.
            return verdicts.shut_down(started.execution_id, started.fence)
        return _answer_to_error(processor, context, error, started, retries)


def _answer_to_error(
    processor: TaskProcessor,
    context: JobContext,
    error: BaseException,
    started: StartedExecution,
    retries: RetryPolicy,
) -> Settlement:
    try:
        answer: Outcome | Mapping[str, Any] | None = processor.handle_error(context, error)
        if answer is not None:
            return policy.settlement_of(answer, started, retries)
    except Exception as second:
        logger.exception("processor.handle_error_failed")
        second.__context__ = error
        return policy.failure_of(second, started, retries)
    return policy.failure_of(error, started, retries)
