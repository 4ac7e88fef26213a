"""Preview and start of bulk operations: the set of jobs is frozen, and many jobs must be confirmed by their number."""

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
    """One of the first jobs of a preview; ``refusal`` is the error that would refuse it, or None."""

    job: Job
    refusal: DomainError | None

    def refusal_words(self, *, reveals: bool) -> str:
        """Return the refusal in words; include its faults, which quote the payload, only if ``reveals``."""
        if self.refusal is None:
            return ""
        faults = (self.refusal.errors if reveals else None) or [{"detail": self.refusal.detail}]
        return "; ".join(f"{fault.get('field', '')} {fault['detail']}".strip() for fault in faults)


@dataclass(frozen=True, slots=True)
class BulkPlan:
    """Preview of an operation: ``ticket`` starts exactly this within `TICKET_SECONDS`."""

    operation: str
    parameters: Mapping[str, Any]
    jobs: FrozenJobs
    preview: BulkPreview
    sample: Sequence[SampledJob]
    effect: BulkEffect
    ticket: str

    @property
    def number(self) -> int:
        """Return the number to confirm if `needs_number`."""
        return self.preview.count.value

    @property
    def needs_number(self) -> bool:
        return needs_number(self.preview.count, self.preview.tenants)


@dataclass(frozen=True, slots=True)
class _Frozen:
    """Jobs that an operation is to reach, and their number."""

    jobs: FrozenJobs
    count: CappedCount
    tenants: int


def needs_number(count: CappedCount, tenants: int) -> bool:
    """Return whether the number of jobs must be confirmed."""
    return count.is_capped or count.value > UNTYPED_JOBS or tenants > 1


def plan_bulk_operation(
    *, filter_text: str, operation: str, parameters: Mapping[str, Any], payload_patch: Payload | None = None
) -> BulkPlan:
    """Return what an operation would do to the jobs of the scope now; change nothing.

    Raise FilterSyntaxError, BulkFilterEmptyError, and the errors of `parse_action`.
    """
    act = parse_action(operation, parameters, payload_patch)
    job_filter = _read_filter(filter_text)
    check_patch_tenant(_tenant_of(job_filter), payload_patch)
    jobs = _freeze(job_filter)
    preview = preview_jobs(jobs, act.states, act.unchanged())
    ticket = {
        **_subject(job_filter, operation, parameters, payload_patch),
        "at": jobs.frozen_at.isoformat(),
        "newest": str(jobs.newest_id or ""),
        "count": preview.count.value,
        "capped": preview.count.is_capped,
        "tenants": preview.tenants,
    }
    changing = [group for group in preview.groups if group.state in act.states and not group.is_same]
    effect = read_effect(act.shift, changing, is_capped=preview.count.is_capped)
    sample = [SampledJob(job, act.refusal_of(job) if job.state in act.states else None) for job in preview.sample]
    return BulkPlan(operation, parameters, jobs, preview, sample, effect, signing.dumps(ticket, salt=_SALT))


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
    """Start an operation on the jobs of the scope: a row that a dispatcher takes up at once.

    With the ``ticket`` of a preview it reaches the jobs shown there, and ``number`` is the one shown; without one the
    jobs are counted now. With ``takes_first_turn`` the first thousand jobs are changed in this transaction; such
    operations are few and small, and do not count against `MAX_OPEN`. Raise what `plan_bulk_operation` raises, and
    ReasonRequiredError, BulkNumberError, BulkPreviewStaleError or TooManyBulkOperationsError.
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


def _check_open(tenant_id: UUID | None) -> None:
    """Raise TooManyBulkOperationsError if `MAX_OPEN` operations are open."""
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
    """Return the tenant of the operation: the scope's, or the one that the filter names in the scope of all."""
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
    """Return what a ticket is bound to, with hashes of long or confidential values."""
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
        claims = signing.loads(ticket, salt=_SALT, max_age=TICKET_SECONDS)
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
