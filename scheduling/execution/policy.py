"""Rules that turn a processor's answer or error, or a lost database session, into the settlement of the execution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import Message
from typing import Any

from django.db import Error
from jsonschema.exceptions import ValidationError
from psycopg.errors import DiskFull

from scheduling.conf import MAX_PAYLOAD_BYTES, MAX_RESULT_BYTES
from scheduling.exceptions import JobLockedError
from scheduling.execution import settlement_builders
from scheduling.execution.json_limits import storable_json, storable_result
from scheduling.execution.settlement import Settlement
from scheduling.execution.settlement_builders import Failure
from scheduling.execution.start import StartedExecution
from scheduling.jobs.waits.missing_keys import DATA_KEY_MISSING, read_key_wait
from scheduling.kit.base import (
    AwaitChildren,
    Complete,
    Discard,
    Outcome,
    PermanentError,
    Retry,
    Snoozed,
    Suspended,
    TaskProcessor,
    Yielded,
)
from scheduling.kit.retry import RetryPolicy, retry_after_seconds
from scheduling.models import Execution
from scheduling.worker.control_block import Cause
from tenants.context import tenant_context
from tenants.database.platform_settings import platform_settings
from tenants.exceptions import DomainError
from tenants.transactions import ConnectionLostError

# The longest wait of a job, in seconds; a longer one would be forgotten.
MAX_WAIT_SECONDS = 366 * 86_400.0
# Seconds until a missing key is looked up again, doubled each time up to the maximum.
KEY_WAIT_SECONDS, MAX_KEY_WAIT_SECONDS = 60.0, 600.0
# Before a job whose kind this worker lacks is dispatched again, perhaps to a worker that has it.
KIND_UNKNOWN_WAIT_SECONDS = 1.0


class AnswerInvalidError(PermanentError):
    """The error for a return value of a processor that is not an outcome."""


def retry_policy(started: StartedExecution, processor: type[TaskProcessor]) -> RetryPolicy:
    """Return the retry policy of a started job: retries as fixed at submission, delays as the plan sets them now."""
    of_plan = started.plan_retry_delays_seconds
    return RetryPolicy(
        max_retries=started.max_retries,
        delays_seconds=processor.retry_delays_seconds if of_plan is None else of_plan,
    )


def settlement_of(
    answer: Outcome | Mapping[str, Any] | None, started: StartedExecution, policy: RetryPolicy
) -> Settlement:
    """Return the settlement for what a processor returned; a mapping or None is the result of a completed job.

    Raise PermanentError for a result or state that cannot be stored.
    """
    execution_id, fence = started.execution_id, started.fence
    match answer:
        case Retry(error=error, after_seconds=after_seconds):
            return failure_of(error, started, policy, is_permanent=False, after_seconds=after_seconds)
        case Discard(reason=reason, error=error):
            cause = error or PermanentError(reason, code="discarded")
            return failure_of(cause, started, policy, is_permanent=True, message=reason)
        case Yielded() | Snoozed() | Suspended() | AwaitChildren():
            return _pause_of(answer, started)
        case Complete(result=result):
            result = storable_result(result, max_bytes=MAX_RESULT_BYTES)
            return Settlement.completed(execution_id, fence, result, owner=started.owner)
        case None:
            return Settlement.completed(execution_id, fence, None)
        case Mapping():
            return settlement_of(Complete(answer), started, policy)
    raise AnswerInvalidError(
        f"{started.kind} returned a {type(answer).__name__}, which is not an outcome.", code="answer_invalid"
    )


def _pause_of(answer: Yielded | Snoozed | Suspended | AwaitChildren, started: StartedExecution) -> Settlement:
    """Return the settlement of a job that continues later, from its state."""
    state = storable_json(answer.state, what="checkpoint", max_bytes=MAX_PAYLOAD_BYTES)
    execution_id, fence, owner = started.execution_id, started.fence, started.owner
    match answer:
        case Snoozed(seconds=seconds, reason=reason):
            return settlement_builders.put_off(
                execution_id, fence, state, seconds=_wait_of(seconds), cause=reason, owner=owner
            )
        case Suspended(seconds=seconds):
            wait = None if seconds is None else _wait_of(seconds)
            return settlement_builders.suspended(execution_id, fence, state, seconds=wait, owner=owner)
        case AwaitChildren():
            return settlement_builders.awaits_children(execution_id, fence, state, owner=owner)
    return settlement_builders.yielded(execution_id, fence, state, owner=owner)


def _wait_of(seconds: float) -> float:
    """Return a processor's wait in seconds as it is stored: not negative, and bounded.

    Raise AnswerInvalidError if infinite.
    """
    if not math.isfinite(seconds):
        raise AnswerInvalidError("A wait must be finite.", code="answer_invalid")
    return min(max(0.0, seconds), MAX_WAIT_SECONDS)


def failure_of(
    error: BaseException,
    started: StartedExecution,
    policy: RetryPolicy,
    *,
    is_permanent: bool | None = None,
    after_seconds: float | None = None,
    message: str = "",
) -> Settlement:
    """Return the settlement of an attempt that ended in ``error``."""
    failure = Failure.of(
        error,
        is_permanent=is_permanent_error(error) if is_permanent is None else is_permanent,
        retry_after_seconds=after_seconds if after_seconds is not None else requested_wait_seconds(error),
    )
    if message:
        failure = Failure(failure.type, message, failure.traceback, is_permanent=failure.is_permanent)
    settlement = settlement_builders.failed(
        started.execution_id, started.fence, failure, failed_attempts=started.attempt, policy=policy
    )
    settlement.owner = started.owner
    return settlement


def timed_out_of(started: StartedExecution, policy: RetryPolicy, *, seconds: float) -> Settlement:
    """Return the settlement of an attempt that was stopped because its kind's time limit had passed."""
    failure = Failure("timed_out", f"The job exceeded its kind's time limit of {seconds:g} s.", "")
    return settlement_builders.failed(
        started.execution_id,
        started.fence,
        failure,
        failed_attempts=started.attempt,
        policy=policy,
        outcome=settlement_builders.Outcome.TIMED_OUT,
    )


def unreadable_of(started: StartedExecution, error: DomainError) -> Settlement:
    """Return the settlement of a job that cannot be decrypted.

    If its key is missing, it waits for at most DATA_KEY_MISSING_HOURS after the first time; 0: for ever. If its data
    was changed, it fails.
    """
    if error.category != "unavailable":
        return failure_of(error, started, RetryPolicy(started.max_retries), is_permanent=True)
    wait = read_key_wait(tenant_id=started.tenant_id, job_id=started.job_id)
    if (hours := platform_settings.DATA_KEY_MISSING_HOURS) and wait.seconds >= 3_600 * hours:
        late = failure_of(error, started, RetryPolicy(started.max_retries), is_permanent=True)
        late.has_plain_error = True
        return late
    return settlement_builders.not_begun(
        started.execution_id,
        started.fence,
        cause=DATA_KEY_MISSING,
        seconds=min(KEY_WAIT_SECONDS * 2 ** min(wait.times, 10), MAX_KEY_WAIT_SECONDS),
        facts={"key": str((error.values or {}).get("key", "")), "detail": str(error)},
    )


def kind_unknown_of(started: StartedExecution) -> Settlement:
    """Return the settlement of a job whose kind this worker lacks: it waits for another worker of the pool."""
    cause = f"The worker does not have the kind {started.kind!r}."
    return settlement_builders.not_begun(
        started.execution_id, started.fence, cause=cause, seconds=KIND_UNKNOWN_WAIT_SECONDS
    )


def interruption_of(cause: str, started: StartedExecution) -> Settlement | None:
    """Return the settlement of a job that stopped at a safe point for ``cause``.

    Return None if this worker must not settle the job, because another one has taken it.
    """
    match cause:
        case Cause.CANCEL:
            return settlement_builders.cancelled(started.execution_id, started.fence)
        case Cause.DEADLINE:
            return settlement_builders.expired(started.execution_id, started.fence)
        case Cause.SHUTDOWN:
            return settlement_builders.shut_down(started.execution_id, started.fence)
    return None


def is_permanent_error(error: BaseException) -> bool:
    """Return whether retrying cannot help after this error; unknown exceptions are retried."""
    if isinstance(error, DomainError):
        return error.category != "unavailable" and error.retry_after_seconds is None
    return isinstance(error, PermanentError | ValidationError)


def requested_wait_seconds(error: BaseException) -> float | None:
    """Return the wait in seconds that an error requests, or the HTTP response in it; None if there is no request."""
    own = getattr(error, "retry_after_seconds", None)
    if isinstance(own, int | float):
        return float(own)
    # A response with an error status may be falsy.
    response = getattr(error, "response", None)
    headers = getattr(error if response is None else response, "headers", None)
    header = headers.get("Retry-After") if isinstance(headers, Mapping | Message) else None
    return retry_after_seconds(header, datetime.now(UTC)) if isinstance(header, str) else None


# A job that always ends its own session or the server, or keeps its transaction open for too long, would otherwise be
# repeated for ever without counting an attempt.
MOST_UNCOUNTED = 20


def settlement_of_lost_session(started: StartedExecution, error: BaseException) -> Settlement | None:
    """Return the settlement that makes the job available again without counting an attempt, for errors of the database.

    Return None if the error is the job's own. Errors of the database are a lost session, a job row that another session
    has locked at a checkpoint, and a full disk of the server. A session that timed out in a transaction counts too: a
    step of the server's clock ends transactions that have just begun. After MOST_UNCOUNTED such settlements the error
    counts as the job's own.
    """
    is_of_server = isinstance(error, (ConnectionLostError, JobLockedError)) or isinstance(error.__cause__, DiskFull)
    if not is_of_server:
        return None
    if count_returns(started) >= MOST_UNCOUNTED:
        return None
    return settlement_builders.shut_down(started.execution_id, started.fence)


def count_returns(started: StartedExecution) -> int:
    """Return how many executions of the job ended without counting an attempt; 0 while the database is unavailable."""
    try:
        with tenant_context(started.tenant_id):
            return Execution.objects.filter(job_id=started.job_id, outcome=Execution.Outcome.SHUTDOWN).count()
    except Error:
        return 0
