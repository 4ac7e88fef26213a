"""Settlements of outcomes and errors of processors."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from uuid import UUID

import pytest
from jsonschema.exceptions import ValidationError

from scheduling.conf import MAX_ERROR_CHARACTERS, MAX_RESULT_BYTES
from scheduling.exceptions import PayloadInvalidError, QuotaExceededError
from scheduling.execution import policy
from scheduling.execution.start import StartedExecution
from scheduling.kit.base import Complete, Discard, PermanentError, Retry, TransientError, Yielded
from scheduling.kit.retry import RetryPolicy
from scheduling.worker.control_block import Cause
from tenants.exceptions import DatabaseUnavailableError

STARTED = StartedExecution(
    execution_id=UUID(int=1),
    job_id=UUID(int=2),
    tenant_id=UUID(int=3),
    kind="sleep",
    number=1,
    fence=5,
    payload={},
    attempt=1,
    crash_count=0,
    max_retries=3,
    checkpoint={},
    deadline_at=None,
    is_expired=False,
    pickup_seconds=0.0,
    memory_limit_mib=None,
    wait_seconds=0.0,
    queue="workflow",
    tier="team",
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
)
POLICY = RetryPolicy(max_retries=3, delays_seconds=(60.0, 120.0, 240.0))


@pytest.mark.parametrize(
    ("answer", "state", "result"),
    [
        (None, "completed", None),
        ({"pages": 3}, "completed", {"pages": 3}),
        (Complete({"pages": 3}), "completed", {"pages": 3}),
        (Yielded({"page": 2}), "available", None),
        (Retry(TransientError("later")), "retryable", None),
        (Discard("no use"), "discarded", None),
        # Values that Celery's serializer accepts are stored as strings.
        ({"at": datetime(2026, 1, 1, tzinfo=UTC)}, "completed", {"at": "2026-01-01T00:00:00+00:00"}),
    ],
)
def test_outcome_becomes_a_settlement(answer: Any, state: str, result: Any) -> None:
    settlement = policy.settlement_of(answer, STARTED, POLICY)
    assert (settlement.state, settlement.result, settlement.fence) == (state, result, 5)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"text": "x" * MAX_RESULT_BYTES}, "result_too_large"),
        ({"names": {"a set"}}, "result_invalid"),
        ({"a\0": ["b"]}, "result_invalid"),
        ({"ratio": float("nan")}, "result_invalid"),
        (Yielded({"text": object()}), "checkpoint_invalid"),
        (42, "answer_invalid"),
    ],
)
def test_outcome_that_cannot_be_stored_is_a_permanent_error(answer: Any, code: str) -> None:
    with pytest.raises(PermanentError) as caught:
        policy.settlement_of(answer, STARTED, POLICY)
    assert caught.value.code == code


def test_dead_letter_has_the_reason_of_the_discard() -> None:
    settlement = policy.settlement_of(Discard("the document is gone", KeyError("id")), STARTED, POLICY)
    assert (settlement.dead_letter_reason, settlement.error_message) == ("permanent_error", "the document is gone")


@pytest.mark.parametrize(
    ("error", "is_permanent"),
    [
        (PermanentError("no"), True),
        (ValidationError("no"), True),
        (PayloadInvalidError("no"), True),
        # The limit of a plan lasts until the plan changes; a rate limit is temporary.
        (QuotaExceededError("no"), True),
        (QuotaExceededError("no", retry_after_seconds=10), False),
        (DatabaseUnavailableError("no"), False),
        (TransientError("no"), False),
        # Unknown exceptions count as transient.
        (ValueError("no"), False),
        (MemoryError(), False),
    ],
)
def test_error_is_permanent_only_if_a_retry_cannot_succeed(error: Exception, is_permanent: bool) -> None:
    settlement = policy.failure_of(error, STARTED, POLICY)
    assert settlement.state == ("discarded" if is_permanent else "retryable")
    assert settlement.attempt_delta == 1


@pytest.mark.parametrize(("attempt", "least", "most"), [(1, 54, 66), (2, 108, 132), (3, 216, 264)])
def test_retry_delays_double_from_a_minute(attempt: int, least: float, most: float) -> None:
    settlement = policy.failure_of(ValueError(), replace(STARTED, attempt=attempt), POLICY)
    assert settlement.due_in_seconds is not None
    assert least <= settlement.due_in_seconds <= most


def test_fourth_failure_is_the_last() -> None:
    settlement = policy.failure_of(ValueError(), replace(STARTED, attempt=4), POLICY)
    assert (settlement.state, settlement.dead_letter_reason) == ("discarded", "attempts_exhausted")


def test_long_error_text_is_truncated() -> None:
    settlement = policy.failure_of(ValueError("x" * 100_000), STARTED, POLICY)
    assert len(settlement.error_message) == MAX_ERROR_CHARACTERS
    assert len(settlement.traceback) <= MAX_ERROR_CHARACTERS


def message_with(retry_after: str) -> Message:
    message = Message()
    message["Retry-After"] = retry_after
    return message


def http_error(retry_after: str) -> Exception:
    error = ConnectionError("429")
    error.response = SimpleNamespace(headers={"Retry-After": retry_after})  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (TransientError("busy", retry_after_seconds=7), 7.0),
        (TransientError("busy", retry_after_seconds="soon"), None),  # type: ignore[arg-type] # a plug-in's slip
        (HTTPError("http://peer", 503, "busy", Message(), None), None),
        (HTTPError("http://peer", 503, "busy", message_with("30"), None), 30.0),
        (http_error("120"), 120.0),
        (http_error("soon"), None),
        (http_error(""), None),
        (http_error("²"), None),
        (http_error("Thu, 01 Jan 1970 00:00:00 GMT"), 0.0),
        (ValueError(), None),
    ],
)
def test_retry_after_is_read_from_the_error_or_its_response(error: Exception, seconds: float | None) -> None:
    assert policy.requested_wait_seconds(error) == seconds


def test_retry_after_may_be_a_date() -> None:
    at = datetime.now(UTC) + timedelta(minutes=5)
    seconds = policy.requested_wait_seconds(http_error(format_datetime(at, usegmt=True)))
    assert seconds is not None
    assert 290 <= seconds <= 300


def test_retry_after_replaces_the_delay_of_the_policy() -> None:
    settlement = policy.settlement_of(Retry(ValueError(), after_seconds=5), STARTED, POLICY)
    assert settlement.due_in_seconds == 5.0


@pytest.mark.parametrize(
    ("cause", "state"),
    [(Cause.CANCEL, "cancelled"), (Cause.DEADLINE, "discarded"), (Cause.SHUTDOWN, "available")],
)
def test_interrupted_job_has_the_state_of_its_cause(cause: Cause, state: str) -> None:
    settlement = policy.interruption_of(cause.value, STARTED)
    assert settlement is not None
    assert (settlement.state, settlement.attempt_delta, settlement.crash_delta) == (state, 0, 0)


def test_job_with_lost_fence_is_not_settled() -> None:
    assert policy.interruption_of(Cause.FENCE_LOST.value, STARTED) is None
