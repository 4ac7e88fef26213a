"""Messages to the workers: their publication, and the signature that all messages of the platform have.

The signature is an HMAC over task, id, time and body. A worker accepts no message without one
(scheduling.celery.message_guard). It covers all that decides about the work; the worker removes other headers that
Celery acts upon. A message may be lost without losing work: PostgreSQL holds every job.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from celery.signals import before_task_publish
from kombu.serialization import dumps

from scheduling.celery.app import celery_app
from scheduling.conf import EXECUTE_TASK, RUN_UPKEEP_TASK, UPKEEP_QUEUE
from scheduling.dispatch.broker import BROKER_ERRORS
from scheduling.exceptions import BrokerUnavailableError
from tenants.cache import redis_guards

OWN_PREFIX: Final = "scheduling."
SUBMIT_TASK: Final = "scheduling.submit"
PURPOSE: Final = "message"
CODE_HEADER, TIME_HEADER = "signature", "signed_at"
# Beat's row, so that one due time submits one job.
SIGNED_HEADERS: Final = ("task", "id", TIME_HEADER, "periodic_task_name")
# In seconds. Idempotency keys of jobs live at least as long: see scheduling.upkeep.retention.rules.
MAX_AGE_SECONDS: Final = 86_400.0

_refused_messages = redis_guards.RefusalCount("broker.publishing_failed")
# Of the last message that was refused.
MOST_FAULT_CHARACTERS = 200
_last_fault = ""


@dataclass(frozen=True, slots=True)
class Hint:
    """The body of one Celery message: the executions to start, one after another.

    A worker starts an execution only if ``token`` is still its dispatch token.
    """

    queue_name: str
    execution_ids: Sequence[UUID]
    token: UUID


def fault_of_last_failure() -> str:
    """Return why the broker last refused a message of this process; an empty text if it never did."""
    return _last_fault


def _note_fault(error: Exception) -> None:
    global _last_fault  # noqa: PLW0603 - state of this process
    # PostgreSQL stores it, and text from Redis may hold any character.
    _last_fault = f"{type(error).__name__}: {error}"[:MOST_FAULT_CHARACTERS].replace("\0", " ")
    _refused_messages.note(_last_fault)


def publish(hints: Sequence[Hint]) -> Sequence[Hint]:
    """Publish the messages in order; return those that the broker did not accept, empty if all were sent."""
    sent = 0
    try:
        with celery_app().producer_or_acquire() as producer:
            try:
                for hint in hints:
                    celery_app().signature(EXECUTE_TASK).apply_async(
                        args=[[str(execution_id) for execution_id in hint.execution_ids], str(hint.token)],
                        queue=hint.queue_name,
                        producer=producer,
                        ignore_result=True,
                        retry=False,
                    )
                    sent += 1
            except BROKER_ERRORS:
                # The connection may be half-open: collect it, and the next publish reconnects. The pool stays: closed
                # it would refuse for ever, and emptied it would block.
                producer.connection.collect()
                raise
    except BROKER_ERRORS as error:
        _note_fault(error)
        return hints[sent:]
    return ()


def publish_upkeep(name: str, tenant_id: UUID | None = None) -> None:
    """Publish a message that runs an upkeep task, for the platform or one tenant, to the queue of the maintenance pool.

    Raise BrokerUnavailableError if the broker does not accept it.
    """
    arguments = [name] if tenant_id is None else [name, str(tenant_id)]
    try:
        celery_app().signature(RUN_UPKEEP_TASK).apply_async(
            args=arguments, queue=UPKEEP_QUEUE, ignore_result=True, retry=False
        )
    except BROKER_ERRORS as error:
        raise BrokerUnavailableError(str(error)) from error


def sign_messages() -> None:
    """Let this process sign every message of the platform's tasks that it publishes."""
    before_task_publish.connect(_sign, dispatch_uid="scheduling.message_signing")


def _sign(sender: Any = None, body: Any = None, headers: dict[str, Any] | None = None, **_: Any) -> None:
    if headers is None or not str(sender).startswith(OWN_PREFIX):
        return
    headers[TIME_HEADER] = f"{time.time():.3f}"
    _, _, text = dumps(body, "json")
    headers[CODE_HEADER] = redis_guards.sign(PURPOSE, *_signed_parts(headers, text.encode())).hex()


def fault_of(headers: Mapping[str, Any], body: Any) -> str | None:
    """Return why a message is not trusted, or None if it is.

    The reasons are "unsigned", "unreadable", "wrong signature" and "too old".
    """
    code = headers.get(CODE_HEADER)
    if not isinstance(code, str) or not code:
        return "unsigned"
    try:
        raw = body.encode() if isinstance(body, str) else body
    except UnicodeEncodeError:
        return "unreadable"
    if not isinstance(raw, bytes):
        return "unreadable"
    if not redis_guards.is_signed(PURPOSE, _bytes_of(code), *_signed_parts(headers, raw)):
        return "wrong signature"
    return "too old" if is_late(signing_time(headers)) else None


def is_late(signed_at: float) -> bool:
    """Return whether a message that was signed at this time (seconds since the epoch) is too old to run."""
    return time.time() - signed_at > MAX_AGE_SECONDS


def is_submission_of_beat(headers: Mapping[str, Any]) -> bool:
    """Return whether a signed message submits the job of a periodic task of beat."""
    return headers.get("task") == SUBMIT_TASK and bool(headers.get("periodic_task_name"))


def signing_time(headers: Mapping[str, Any]) -> float:
    """Return when a signed message was published, in seconds since the epoch."""
    return float(headers[TIME_HEADER])


def _signed_parts(headers: Mapping[str, Any], body: bytes) -> list[bytes]:
    return [*(str(headers.get(name) or "").encode(errors="replace") for name in SIGNED_HEADERS), body]


def _bytes_of(code: str) -> bytes:
    try:
        return bytes.fromhex(code)
    except ValueError:
        return b""
