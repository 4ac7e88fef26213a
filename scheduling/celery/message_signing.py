"""Signatures of the platform's Celery messages: an HMAC over task, id, time and body, made by the publisher.

A worker accepts no message without one (scheduling.celery.message_guard). The signature covers everything that
determines the work; the worker removes other headers that Celery acts upon.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from celery.signals import before_task_publish
from kombu.serialization import dumps

from tenants.cache import redis_guards

OWN_PREFIX: Final = "scheduling."
SUBMIT_TASK: Final = "scheduling.submit"
PURPOSE: Final = "message"
CODE_HEADER, TIME_HEADER = "signature", "signed_at"
# Beat's row, so that one due time submits one job.
SIGNED_HEADERS: Final = ("task", "id", TIME_HEADER, "periodic_task_name")
# In seconds. Idempotency keys of jobs live at least as long: see scheduling.upkeep.retention.rules.
MAX_AGE_SECONDS: Final = 86_400.0


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
