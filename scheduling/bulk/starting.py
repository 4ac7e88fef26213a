"""Preview and start of bulk operations: the set of jobs is fixed, and the number of many jobs must be confirmed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core import signing
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext

from scheduling.bulk.effect import BulkEffect, read_effect
from scheduling.bulk.parsing import check_patch_tenant, parse_action
from scheduling.bulk.queries import BulkPreview, FrozenJobs, preview_jobs
from scheduling.bulk.records import create_operation
from scheduling.bulk.replays import Payload
from scheduling.bulk.turns import take_first_turn
from scheduling.exceptions import (
    BulkFilterEmptyError,
    BulkNumberError,
    BulkPreviewStaleError,
    TooManyBulkOperationsError,
)
from scheduling.jobs.filters import JobFilter, parse
from scheduling.jobs.queries import CappedCount
from scheduling.models import BulkOperation, Job
from tenants.approvals.service import is_granted, require_approval
from tenants.context import require_scope
from tenants.database.clock import read_clock
from tenants.exceptions import DomainError
from tenants.models import Tenant
from tenants.tenancy.pausing import require_reason

# Above this, or for jobs of more than one tenant, the number of jobs must be confirmed.
UNTYPED_JOBS = 1_000
# Validity of a preview: time to read and type, while its counts still describe the jobs.
TICKET_SECONDS = 900
# Open operations of one tenant at a time, and of the platform: turns go round, so each operation slows all others.
MAX_OPEN = 20
_SALT = "scheduling.bulk.preview"


@dataclass(frozen=True, slots=True)
class SampledJob:
    """One of the first jobs of a preview; ``refusal`` is the error that the action would raise for it, or None."""

    job: Job
    refusal: DomainError | None

    def refusal_words(self, *, reveals: bool) -> str:
        """Return the refusal in words, or an empty text; faults, which quote the payload, only if ``reveals``."""
        if self.refusal is None:
            return ""
        faults = (self.refusal.errors if reveals else None) or [{"detail": self.refusal.detail}]
        return "; ".join(f"{fault.get('field', '')} {fault['detail']}".strip() for fault in faults)


@dataclass(frozen=True, slots=True)
class BulkPlan:
    """Preview of an operation. A start with ``ticket`` within `TICKET_SECONDS` reaches exactly the previewed jobs."""

    operation: str
    parameters: Mapping[str, Any]
    jobs: FrozenJobs
    preview: BulkPreview
    sample: Sequence[SampledJob]
    effect: BulkEffect
    ticket: str

    @property
    def number(self) -> int:
        """Return the number that a start must confirm if `needs_number` is true."""
        return self.preview.count.value

    @property
    def needs_number(self) -> bool:
        return needs_number(self.preview.count, self.preview.tenants)


@dataclass(frozen=True, slots=True)
class _Frozen:
    """Fixed set of jobs that an operation will process, with their count and the number of their tenants."""

    jobs: FrozenJobs
    count: CappedCount
    tenants: int


def needs_number(count: CappedCount, tenants: int) -> bool:
    """Return whether a start must state the number of jobs: it is above `UNTYPED_JOBS` or of several tenants."""
    return count.is_capped or count.value > UNTYPED_JOBS or tenants > 1


def plan_bulk_operation(
    *, filter_text: str, operation: str, parameters: Mapping[str, Any], payload_patch: Payload | None = None
) -> BulkPlan:
    """Return a preview of an operation on the jobs of the current tenant context; change nothing.

    Raise FilterSyntaxError, BulkFilterEmptyError, and the errors of `parse_action`.
    """
    act = parse_action(operation, parameters, payload_patch)
    job_filter = _read_filter(filter_text)
    check_patch_tenant(_tenant_of(job_filter), payload_patch)
    jobs = _freeze(job_filter)
    preview = preview_jobs(jobs, act.states, act.unchanged())
    subject = _subject(job_filter, operation, parameters, payload_patch)
    ticket = _sign(subject, _Frozen(jobs, preview.count, preview.tenants))
    changing = [group for group in preview.groups if group.state in act.states and not group.is_same]
    effect = read_effect(act.shift, changing, is_capped=preview.count.is_capped)
    sample = [SampledJob(job, act.refusal_of(job) if job.state in act.states else None) for job in preview.sample]
    return BulkPlan(operation, parameters, jobs, preview, sample, effect, ticket)


@transaction.atomic
def start_bulk_operation(
    *,
    filter_text: str,
    operation: str,
    parameters: Mapping[str, Any],
    reason: str,
    number: int | None = None,
    ticket: str = "",
    payload_patch: Payload | None = None,
    takes_first_turn: bool = False,
) -> BulkOperation:
    """Create the row of an operation on jobs of the current tenant context; a dispatcher runs it after the commit.

    With the ``ticket`` of a preview it reaches the previewed jobs, and ``number`` is the number shown; without a ticket
    the jobs are counted now. With ``takes_first_turn`` the first thousand jobs are changed in this transaction; such
    operations are few and small, and do not count against `MAX_OPEN`. Raise what `plan_bulk_operation` raises, and
    ReasonRequiredError, BulkNumberError, BulkPreviewStaleError, TooManyBulkOperationsError or ApprovalRequiredError.
    """
    act = parse_action(operation, parameters, payload_patch)
    reason = require_reason(reason)
    job_filter = _read_filter(filter_text)
    tenant_id = _tenant_of(job_filter)
    check_patch_tenant(tenant_id, payload_patch)
    if ticket:
        frozen = _read_ticket(ticket, job_filter, _subject(job_filter, operation, parameters, payload_patch))
    else:
        jobs = _freeze(job_filter)
        preview = preview_jobs(jobs, act.states, act.unchanged())
        frozen = _Frozen(jobs, preview.count, preview.tenants)
    _check_number(number, frozen)
    if not takes_first_turn:
        _check_open(tenant_id)
    _require_second_person(frozen, _subject(job_filter, operation, parameters, payload_patch), filter_text, reason)
    row = create_operation(
        frozen.jobs,
        frozen.count,
        tenant_id=tenant_id,
        operation=operation,
        parameters=dict(parameters),
        payload_patch=payload_patch,
        asked_filter=job_filter.text,
        reason=reason,
    )
    if takes_first_turn:
        take_first_turn(row)
    return row


def _require_second_person(frozen: _Frozen, subject: Mapping[str, Any], filter_text: str, reason: str) -> None:
    """Raise ApprovalRequiredError if a second person must approve an operation on so many jobs.

    The approval starts it with exactly these jobs; one with a payload patch, which is confidential and not stored in
    the request, is started by repeating the call.
    """
    arguments = {
        "filter_text": filter_text,
        "operation": subject["operation"],
        "parameters": subject["parameters"],
        "reason": reason,
        "number": frozen.count.value,
        # It has a hash of the patch, and only the approval itself would read it.
        "ticket": "" if subject["patch"] else _sign(subject, frozen),
    }
    require_approval(
        "bulk",
        arguments,
        preview=gettext("%(operation)s, %(count)s jobs of “%(filter)s”: %(reason)s")
        % {"operation": subject["operation"], "count": frozen.count, "filter": filter_text, "reason": reason},
        tenant_id=require_scope().tenant_id,
        number=None if frozen.count.is_capped else frozen.count.value,
        subject={**subject, "count": frozen.count.value},
        is_repeated=bool(subject["patch"]),
    )


def _sign(subject: Mapping[str, Any], frozen: _Frozen) -> str:
    """Return the ticket of a fixed set of jobs."""
    ticket = {
        **subject,
        "at": frozen.jobs.frozen_at.isoformat(),
        "newest": str(frozen.jobs.newest_id or ""),
        "count": frozen.count.value,
        "capped": frozen.count.is_capped,
        "tenants": frozen.tenants,
    }
    return signing.dumps(ticket, salt=_SALT)


def _check_open(tenant_id: UUID | None) -> None:
    """Raise TooManyBulkOperationsError if the tenant, or the platform, has `MAX_OPEN` unfinished operations."""
    whose = Q(tenant__isnull=True) if tenant_id is None else Q(tenant_id=tenant_id)
    rows = BulkOperation.objects.filter(whose, finished_at__isnull=True, batch_id__isnull=True)
    if rows.exclude(operation=BulkOperation.Operation.REROUTE).count() >= MAX_OPEN:
        raise TooManyBulkOperationsError


def _read_filter(text: str) -> JobFilter:
    job_filter = parse(text)
    if job_filter.is_empty:
        raise BulkFilterEmptyError
    return job_filter


def _tenant_of(job_filter: JobFilter) -> UUID | None:
    """Return the id of the current tenant.

    Under all_tenants() return that of the only tenant in the filter, or None.
    """
    scope = require_scope()
    named = job_filter.values_of("tenant")
    if not scope.is_all_tenants or len(named) != 1:
        return scope.tenant_id
    return Tenant.objects.filter(slug=named[0]).values_list("pk", flat=True).first()


def _freeze(job_filter: JobFilter) -> FrozenJobs:
    now = read_clock()
    newest_id = Job.objects.order_by("-id").values_list("id", flat=True).first()
    return FrozenJobs(job_filter.frozen(now), now, newest_id)


def _subject(
    job_filter: JobFilter, operation: str, parameters: Mapping[str, Any], payload_patch: Payload | None
) -> dict[str, Any]:
    """Return the values that a ticket is valid for; long or confidential ones as hashes."""
    return {
        "scope": str(require_scope().tenant_id or ""),
        "filter": _hash(job_filter.text),
        "operation": operation,
        "parameters": dict(parameters),
        "patch": "" if payload_patch is None else _hash(json.dumps(payload_patch, sort_keys=True)),
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read_ticket(ticket: str, job_filter: JobFilter, subject: Mapping[str, Any]) -> _Frozen:
    try:
        claims = signing.loads(ticket, salt=_SALT, max_age=None if is_granted("bulk") else TICKET_SECONDS)
    except signing.BadSignature as error:
        raise BulkPreviewStaleError from error
    if any(claims[name] != value for name, value in subject.items()):
        raise BulkPreviewStaleError
    frozen_at = datetime.fromisoformat(claims["at"])
    newest_id = UUID(claims["newest"]) if claims["newest"] else None
    jobs = FrozenJobs(job_filter.frozen(frozen_at), frozen_at, newest_id)
    return _Frozen(jobs, CappedCount(claims["count"], claims["capped"]), claims["tenants"])


def _check_number(number: int | None, frozen: _Frozen) -> None:
    wanted = frozen.count.value
    if number == wanted or (number is None and not needs_number(frozen.count, frozen.tenants)):
        return
    raise BulkNumberError(
        "%(count)s jobs match: type %(wanted)s to confirm.",
        {"count": frozen.count, "wanted": wanted},
        number=wanted,
    )
