"""Job requests, and their validation."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any
from uuid import UUID

from django.utils.translation import gettext
from jsonschema import Draft202012Validator

from scheduling.conf import MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH, MAX_TAGS
from scheduling.exceptions import (
    KindInternalError,
    OptionInvalidError,
    PayloadInvalidError,
    PayloadTooLargeError,
    PriorityNotAllowedError,
    RetriesNotAllowedError,
)
from scheduling.jobs.job_keys.models import MAX_JOB_KEY_CHARACTERS, UniqueUntil
from scheduling.jobs.meta.models import MAX_META_BYTES, MAX_META_MEMBERS, MAX_META_NAME_CHARACTERS
from scheduling.kit import registry
from scheduling.kit.base import TaskProcessor
from scheduling.kit.retry import RetryPolicy, policy_on_plan
from tenants.context import current_actor
from tenants.database.platform_settings import platform_settings
from tenants.models import Plan
from tenants.schema_faults import describe_fault
from tenants.secrets.references import WORD, faults_of_references, has_references
from tenants.secrets.service import require_use_of_secrets
from tenants.tenancy.pausing import LATEST

MAX_KEY_CHARACTERS = 200
MAX_TAG_CHARACTERS = 64
MAX_FAIR_KEY_CHARACTERS = 100
# A name of a member of meta, as filters write it.
META_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
# The most faults of a payload that are listed.
MAX_REPORTED_ERRORS = 20


@dataclass(frozen=True, slots=True)
class JobRequest:
    """One job to be submitted; ``run_at`` and ``deadline`` are aware datetimes.

    Without a ``priority`` the tenant's default applies. ``queue`` names a queue only where the routing rule lets the
    tenant choose; ``max_retries`` may be lower than what kind and plan allow. ``is_internal`` is only set by the
    platform's code: without it internal kinds are refused.

    At most ``concurrency_limit`` jobs of a kind run at once with the same ``concurrency_key``. While a job has a
    ``unique_key``, until it has started or ended, a request with the same key returns that job. Without a unique key
    ``unique_until`` applies to the concurrency key, and without ``unique_until`` a unique key is kept until the end.

    ``subject`` is the id of the data that the job is about, such as a dataset: it runs only in regions that the label
    of the data allows. Without it the kind finds the data of the payload.

    ``meta`` is shown with the job to all who may see it; filters find its members, such as `meta.order:4711`.
    """

    kind: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    priority: int | None = None
    run_at: datetime | None = None
    deadline: datetime | None = None
    fair_key: str = ""
    tags: Sequence[str] = ()
    queue: str | None = None
    max_retries: int | None = None
    idempotency_key: str | None = None
    is_internal: bool = False
    concurrency_key: str = ""
    unique_key: str = ""
    unique_until: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    subject: UUID | None = None

    @property
    def claimed_key(self) -> str:
        """Return the key that no other job of the kind may have: the unique key, else the concurrency key.

        The latter counts only with ``unique_until``. Return '' for a job that need not be unique.
        """
        return self.unique_key or (self.concurrency_key if self.unique_until else "")

    @property
    def payload_bytes(self) -> int:
        """Return the size of the payload as JSON, an input of the cost prediction."""
        return len(json.dumps(self.payload, ensure_ascii=False, default=str).encode("utf-8", "replace"))

    def fingerprint(self) -> bytes:
        """Return the SHA-256 of the request, by which a repeated request is recognised."""
        check_depth(self.payload)
        # No priority and 0 are the same request, whatever the tenant's default becomes.
        asked = {name: getattr(self, name) for name in _FINGERPRINTED} | {"priority": self.priority or 0}
        # Absent keys change no fingerprint that is stored already.
        asked |= {name: value for name in _JOB_KEYS if (value := getattr(self, name))}
        text = json.dumps(asked, sort_keys=True, default=str, separators=(",", ":"))
        return hashlib.sha256(text.encode()).digest()


_JOB_KEYS = ("concurrency_key", "unique_key", "unique_until", "meta")
_FINGERPRINTED = tuple(
    item.name
    for item in fields(JobRequest)
    if item.name not in {"idempotency_key", "is_internal", "subject", *_JOB_KEYS}
)


def check_depth(payload: object) -> None:
    """Raise PayloadInvalidError for a payload nested deeper than MAX_PAYLOAD_DEPTH; it works without recursion."""
    level: list[object] = [payload]
    for _ in range(MAX_PAYLOAD_DEPTH):
        level = [
            child
            for value in level
            if isinstance(value, Mapping | list | tuple)
            for child in (value.values() if isinstance(value, Mapping) else value)
        ]
        if not level:
            return
    if any(isinstance(value, Mapping | list | tuple) for value in level):
        raise PayloadInvalidError("The payload is nested deeper than %(limit)s levels.", {"limit": MAX_PAYLOAD_DEPTH})


def rank_of(run_at: datetime, priority: int) -> int:
    """Return the place of a job in its tenant's order, in microseconds; the least comes first."""
    return int((run_at.timestamp() - priority * platform_settings.AGEING_SECONDS) * 1_000_000)


def retry_policy_on(plan: Plan, processor: type[TaskProcessor]) -> RetryPolicy:
    """Return the retry policy of a kind's jobs on a plan."""
    own = RetryPolicy(max_retries=processor.max_retries, delays_seconds=processor.retry_delays_seconds)
    return policy_on_plan(own, plan.retry_rules, processor.kind)


def check_request(request: JobRequest, *, now: datetime, plan: Plan) -> type[TaskProcessor]:
    """Return the processor of the requested kind if the request is valid; otherwise raise a DomainError."""
    processor = registry.get(request.kind)
    if processor.is_internal and not request.is_internal:
        raise KindInternalError("Only the platform submits jobs of the kind %(kind)r.", {"kind": request.kind})
    check_payload(request.payload, processor)
    _check_times(request, now)
    _check_labels(request)
    _check_meta(request.meta)
    max_priority = plan.max_priority
    if not -max_priority <= (request.priority or 0) <= max_priority:
        raise PriorityNotAllowedError(
            "Priority must lie between -%(max_priority)s and %(max_priority)s on this plan.",
            {"max_priority": max_priority},
        )
    if request.max_retries is not None:
        _check_retries(request, request.max_retries, retry_policy_on(plan, processor).max_retries)
    return processor


def _check_retries(request: JobRequest, given: int, most: int) -> None:
    if 0 <= given <= most:
        return
    raise RetriesNotAllowedError(
        "max_retries must lie between 0 and %(most)s for %(kind)s on this plan.",
        {"most": most, "kind": request.kind},
        errors=[
            {
                "code": RetriesNotAllowedError.code,
                "field": "max_retries",
                "detail": gettext("Must be from 0 to %(most)s.") % {"most": most},
            }
        ],
    )


@cache
def _validator(processor: type[TaskProcessor]) -> Draft202012Validator:
    return Draft202012Validator(dict(processor.payload_schema), format_checker=Draft202012Validator.FORMAT_CHECKER)


def check_payload(payload: Mapping[str, Any], processor: type[TaskProcessor]) -> None:
    """Raise PayloadInvalidError or PayloadTooLargeError unless the payload may be submitted for the kind."""
    check_depth(payload)
    try:
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (TypeError, ValueError) as error:  # UnicodeEncodeError, a lone surrogate, is a ValueError
        raise PayloadInvalidError("The payload is not valid JSON: %(error)s", {"error": error}) from error
    if size > MAX_PAYLOAD_BYTES:
        raise PayloadTooLargeError(
            "The payload has %(size)s bytes; the limit is %(limit)s.", {"size": size, "limit": MAX_PAYLOAD_BYTES}
        )
    # PostgreSQL stores no NUL; two backslashes are an escaped backslash, not the start of an escape.
    if "\\u0000" in text.replace("\\\\", ""):
        raise PayloadInvalidError("The payload contains a NUL character.")
    faults = list(_validator(processor).iter_errors(payload))[:MAX_REPORTED_ERRORS]
    if faults:
        raise PayloadInvalidError(
            errors=[
                {"code": "payload_invalid", "field": fault.json_path, "detail": describe_fault(fault)[:500]}
                for fault in faults
            ]
        )
    if WORD in text:
        _check_secrets(payload, processor)


def _check_secrets(payload: Mapping[str, Any], processor: type[TaskProcessor]) -> None:
    """Refuse secret references in fields that the kind does not resolve, and all of them without the right to use them.

    Payloads that the platform itself submits, such as news of a job, may quote them: nothing resolves them there.
    """
    if current_actor().kind == "system" or not has_references(payload):
        return
    faults = faults_of_references(payload, lambda path: path[0] in processor.secret_fields)
    errors = [
        {"code": fault.code, "field": fault.json_path, "detail": fault.detail}
        for fault in islice(faults, MAX_REPORTED_ERRORS)
    ]
    if errors:
        raise PayloadInvalidError(errors[0]["detail"], errors=errors)
    require_use_of_secrets()


def _check_times(request: JobRequest, now: datetime) -> None:
    for name, moment in (("run_at", request.run_at), ("deadline", request.deadline)):
        if moment is not None and moment.tzinfo is None:
            raise OptionInvalidError("%(name)s must have a time zone.", {"name": name})
        if moment is not None and moment >= LATEST:
            raise OptionInvalidError("%(name)s must lie before the year %(year)s.", {"name": name, "year": LATEST.year})
    if request.deadline is not None and request.deadline <= max(request.run_at or now, now):
        raise OptionInvalidError("deadline must lie in the future and after run_at.")


def _check_meta(meta: Mapping[str, Any]) -> None:
    if not meta:
        return
    if len(meta) > MAX_META_MEMBERS or not all(META_NAME.fullmatch(name) for name in meta):
        raise OptionInvalidError(
            "meta has at most %(most)s members, whose names have 1 to %(longest)s letters, digits, dots, hyphens and "
            "underscores.",
            {"most": MAX_META_MEMBERS, "longest": MAX_META_NAME_CHARACTERS},
        )
    check_depth(meta)
    try:
        text = json.dumps(meta, ensure_ascii=False, allow_nan=False)
        is_too_long = len(text.encode()) > MAX_META_BYTES
    except (TypeError, ValueError) as error:
        raise OptionInvalidError("meta is not valid JSON: %(error)s", {"error": error}) from error
    if is_too_long or "\\u0000" in text.replace("\\\\", ""):
        raise OptionInvalidError(
            "meta must have at most %(limit)s bytes and no NUL character.", {"limit": MAX_META_BYTES}
        )


def _check_labels(request: JobRequest) -> None:
    if len(request.tags) > MAX_TAGS:
        raise OptionInvalidError("A job has at most %(limit)s tags.", {"limit": MAX_TAGS})
    labels = [
        *(("tags", tag, MAX_TAG_CHARACTERS) for tag in request.tags),
        ("fair_key", request.fair_key, MAX_FAIR_KEY_CHARACTERS),
        ("idempotency_key", request.idempotency_key or "", MAX_KEY_CHARACTERS),
        ("concurrency_key", request.concurrency_key, MAX_JOB_KEY_CHARACTERS),
        ("unique_key", request.unique_key, MAX_JOB_KEY_CHARACTERS),
    ]
    for name, value, longest in labels:
        if len(value) > longest:
            raise OptionInvalidError(
                "%(name)s must have at most %(longest)s characters.", {"name": name, "longest": longest}
            )
        if not value.isprintable():
            raise OptionInvalidError("%(name)s contains unprintable characters.", {"name": name})
    if request.unique_until and request.unique_until not in UniqueUntil.values:
        raise OptionInvalidError("unique_until must be started or ended.")
    if request.unique_until and not request.claimed_key:
        raise OptionInvalidError("unique_until requires a unique_key or a concurrency_key.")


def is_submittable(kind: str) -> bool:
    """Return whether clients may submit jobs of this kind."""
    return kind in registry.kinds() and not registry.get(kind).is_internal
