"""Builders of settlements, one for each way an execution can end, with the rules for retries, crashes and deadlines."""

from __future__ import annotations

import random
import traceback as traceback_module
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from scheduling.conf import MAX_ERROR_CHARACTERS
from scheduling.errors.fingerprints import fingerprint_of
from scheduling.execution.json_limits import storable_text
from scheduling.execution.settlement import Settlement
from scheduling.jobs.lifecycle import JobState
from scheduling.kit.retry import RetryPolicy, is_quarantined, retry_delay_seconds
from scheduling.models import DeadLetter, Execution

Outcome = Execution.Outcome
Reason = DeadLetter.Reason
# The tenant and the job.
type Owner = tuple[UUID, UUID]


@dataclass(frozen=True, slots=True)
class Failure:
    """An error in the form in which it is stored; ``fingerprint`` groups errors that differ only in details."""

    type: str
    message: str
    traceback: str
    is_permanent: bool = False
    retry_after_seconds: float | None = None

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint that errors of one cause share; it is computed from the texts as stored."""
        return fingerprint_of(storable_text(self.type), storable_text(self.message))

    @classmethod
    def of(cls, error: BaseException, *, is_permanent: bool, retry_after_seconds: float | None = None) -> Failure:
        """Build the failure from an exception; its type is the exception's ``code``, if it has one."""
        return cls(
            type=str(getattr(error, "code", "") or type(error).__name__)[:100],
            message=str(error)[:MAX_ERROR_CHARACTERS],
            traceback="".join(traceback_module.format_exception(error))[-MAX_ERROR_CHARACTERS:],
            is_permanent=is_permanent,
            retry_after_seconds=retry_after_seconds,
        )


DEADLINE_PASSED = Failure("deadline_passed", "The deadline passed before the job was completed.", "")


def failed(
    execution_id: UUID,
    fence: int,
    failure: Failure,
    *,
    failed_attempts: int,
    policy: RetryPolicy,
    outcome: str = Outcome.FAILED,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Settlement:
    """Return the settlement of a failed attempt; ``failed_attempts`` includes it.

    Transient errors are retried while attempts are left; others become dead letters.
    """
    delay = None
    if not failure.is_permanent:
        delay = retry_delay_seconds(
            policy,
            failed_attempts=failed_attempts,
            uniform=uniform,
            retry_after_seconds=failure.retry_after_seconds,
        )
    reason = "" if delay is not None else Reason.ATTEMPTS_EXHAUSTED
    if failure.is_permanent:
        reason = Reason.PERMANENT_ERROR
    return Settlement(
        execution_id,
        fence,
        outcome=outcome,
        state=JobState.RETRYABLE if delay is not None else JobState.DISCARDED,
        event=f"execution.{outcome}",
        attempt_delta=1,
        due_in_seconds=delay,
        error_type=failure.type,
        error_message=failure.message,
        error_fingerprint=failure.fingerprint,
        traceback=failure.traceback,
        dead_letter_reason=reason,
        retry_after_seconds=failure.retry_after_seconds,
        is_sample=True,
        event_data={"retry_in_seconds": round(delay, 3)} if delay is not None else {},
    )


def yielded(execution_id: UUID, fence: int, checkpoint: Any, *, owner: Owner | None = None) -> Settlement:
    """Return the settlement of a job that yielded at a safe point and continues from ``checkpoint``."""
    return Settlement(
        execution_id,
        fence,
        outcome=Outcome.YIELDED,
        state=JobState.AVAILABLE,
        event="execution.yielded",
        checkpoint=checkpoint,
        owner=owner,
    )


def awaits_children(execution_id: UUID, fence: int, checkpoint: Any, *, owner: Owner | None = None) -> Settlement:
    """Return the settlement of a job that waits for its children and continues from ``checkpoint``."""
    return Settlement(
        execution_id,
        fence,
        outcome=Outcome.YIELDED,
        state=JobState.SUSPENDED,
        event="execution.awaits_children",
        checkpoint=checkpoint,
        owner=owner,
    )


def shut_down(execution_id: UUID, fence: int) -> Settlement:
    """Return the settlement of a job made available again because the worker stops; it uses no attempt."""
    return Settlement(
        execution_id,
        fence,
        outcome=Outcome.SHUTDOWN,
        state=JobState.AVAILABLE,
        event="execution.shutdown",
    )


def snoozed(
    execution_id: UUID, fence: int, *, until: datetime | None, seconds: float | None, **said: str | bool
) -> Settlement:
    """Return the settlement of a job whose dependency is down: available again at once, or after ``seconds``."""
    return Settlement(
        execution_id,
        fence,
        outcome=Outcome.SNOOZED,
        state=JobState.AVAILABLE if seconds is None else JobState.SCHEDULED,
        due_in_seconds=seconds,
        event="execution.snoozed",
        event_data={**said, "until": until.isoformat() if until else None},
    )


def put_off(
    execution_id: UUID, fence: int, checkpoint: Any, *, seconds: float, cause: str = "", owner: Owner | None = None
) -> Settlement:
    """Return the settlement of a job that snoozed: it continues from ``checkpoint`` later; ``cause`` is the reason."""
    return Settlement(
        execution_id,
        fence,
        outcome=Outcome.PUT_OFF,
        state=JobState.SCHEDULED,
        event="execution.put_off",
        checkpoint=checkpoint,
        due_in_seconds=seconds,
        event_data={"seconds": round(seconds, 3)} | ({"cause": cause[:200]} if cause else {}),
        owner=owner,
    )


def not_begun(
    execution_id: UUID, fence: int, *, cause: str, seconds: float, facts: Mapping[str, str] | None = None
) -> Settlement:
    """Return the settlement of a job that could not begin for lack of its key or kind: it waits and uses no attempt.

    ``facts`` go into the event beside the cause.
    """
    return Settlement(
        execution_id,
        fence,
        outcome=Outcome.PUT_OFF,
        state=JobState.SCHEDULED,
        event="execution.put_off",
        due_in_seconds=seconds,
        event_data={"seconds": round(seconds, 3), "cause": cause, **(facts or {})},
    )


def suspended(
    execution_id: UUID, fence: int, checkpoint: Any, *, seconds: float | None, owner: Owner | None = None
) -> Settlement:
    """Return the settlement of a job that suspended itself: it continues from ``checkpoint`` when it is woken."""
    return Settlement(
        execution_id,
        fence,
        outcome=Outcome.PUT_OFF,
        state=JobState.SUSPENDED,
        event="execution.suspended",
        checkpoint=checkpoint,
        due_in_seconds=seconds,
        event_data={} if seconds is None else {"seconds": round(seconds, 3)},
        owner=owner,
    )


def cancelled(execution_id: UUID, fence: int, *, reason: str = "") -> Settlement:
    """Return the settlement of a cancelled job, started or not."""
    return Settlement(
        execution_id,
        fence,
        outcome=Outcome.CANCELLED,
        state=JobState.CANCELLED,
        event="job.cancelled",
        event_data={"reason": reason} if reason else {},
    )


def expired(execution_id: UUID, fence: int) -> Settlement:
    """Return the settlement of a job whose deadline passed."""
    return Settlement(
        execution_id,
        fence,
        outcome=Outcome.EXPIRED,
        state=JobState.DISCARDED,
        event="job.discarded",
        error_type=DEADLINE_PASSED.type,
        error_message=DEADLINE_PASSED.message,
        error_fingerprint=DEADLINE_PASSED.fingerprint,
        dead_letter_reason=Reason.DEADLINE_PASSED,
    )


def returned(execution_id: UUID, fence: int, *, cause: str) -> Settlement:
    """Return the settlement of a job of a message that was not run: it is available as if never dispatched."""
    return Settlement(
        execution_id,
        fence,
        outcome=Outcome.RETURNED,
        state=JobState.AVAILABLE,
        event="execution.returned",
        measured_us=0,
        event_data={"cause": cause},
    )


def crashed(
    execution_id: UUID,
    fence: int,
    *,
    crash_count: int,
    was_alone: bool,
    cause: str,
    is_lost: bool,
    was_merged: bool = False,
) -> Settlement:
    """Return the settlement of a job whose worker died; ``crash_count`` counts its earlier crashes without other jobs.

    A job is only blamed if it ran without others in its worker; the third such crash quarantines it. In a merged
    message the culprit is unknown, so its members get messages of their own from now on.
    """
    blamed = 1 if was_alone else 0
    quarantined = is_quarantined(crash_count + blamed)
    return Settlement(
        execution_id,
        fence,
        outcome=Outcome.CRASHED,
        state=JobState.QUARANTINED if quarantined else JobState.AVAILABLE,
        event="job.quarantined" if quarantined else "execution.crashed",
        crash_delta=blamed,
        error_type="worker_lost" if blamed else "",
        error_message=cause if blamed else "",
        error_fingerprint=Failure("worker_lost", cause, "").fingerprint if blamed else "",
        dead_letter_reason=Reason.CRASHED_WORKERS if quarantined else "",
        is_lost=is_lost,
        merge_disabled=was_merged,
        event_data={"cause": cause},
    )


def unpublished(execution_id: UUID, fence: int) -> Settlement:
    """Return the settlement of a job whose message the broker refused: it is available again."""
    return Settlement(
        execution_id,
        fence,
        outcome=Outcome.UNPUBLISHED,
        state=JobState.AVAILABLE,
        event="execution.unpublished",
    )
