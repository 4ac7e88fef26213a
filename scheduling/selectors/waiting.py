"""Why a job waits, in words that say nothing about other tenants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import QuerySet
from django.db.models.functions import Now

from scheduling.conf import lease_seconds
from scheduling.lifecycle import IN_FLIGHT_STATES, TERMINAL_STATES, JobState
from scheduling.limits import WORKER_SECONDS
from scheduling.models import Drain, Job, KindPause, Queue, TenantCapacity, Worker
from tenants.context import require_scope
from tenants.limits import format_moment, month_end, month_of
from tenants.models import Tenant, TenantUsage
from tenants.selectors.limits import allowed_for


@dataclass(frozen=True, slots=True)
class WaitingReason:
    """One thing that keeps a job from starting: a stable code and a sentence; ``until`` where it ends by itself."""

    code: str
    detail: str
    until: datetime | None = None


def why_waiting(job: Job) -> list[WaitingReason] | None:
    """Everything that keeps the job waiting, at least one reason; None when it runs or has ended."""
    state = JobState(job.state)
    if state in TERMINAL_STATES or state is JobState.EXECUTING:
        return None
    if state in IN_FLIGHT_STATES:
        return [WaitingReason("dispatched", "Handed to a worker, which has not begun it yet.")]
    if state is JobState.SUSPENDED:
        return [WaitingReason("suspended", "Suspended until somebody resumes it.")]
    reasons = [*_times(job, state), *_tenant(job), *_topology(job)]
    return reasons or [WaitingReason("waiting_for_turn", "Ready; it starts when a slot is free and its turn comes.")]


def _times(job: Job, state: JobState) -> list[WaitingReason]:
    if state is JobState.SCHEDULED:
        return [WaitingReason("scheduled", f"Not before {_moment(job.run_at)}.")]
    if state is JobState.RETRYABLE:
        return [WaitingReason("retry_backoff", f"Attempt {job.attempt} failed; it is tried again after a back-off.")]
    return []


def _tenant(job: Job) -> list[WaitingReason]:
    tenant = job.tenant
    reasons = []
    if tenant.is_suspended:
        until, why = tenant.suspended_until, tenant.status_reason
        reasons.append(_stopped("tenant_suspended", "The tenant is suspended", why, until))
    if tenant.is_paused:
        until, why = tenant.paused_until, tenant.pause_reason
        reasons.append(_stopped("tenant_paused", "The tenant's work is paused", why, until))
    capacity = TenantCapacity.objects.filter(tenant_id=job.tenant_id).first()
    if capacity is not None and capacity.in_flight >= tenant.concurrency_cap:
        detail = f"{capacity.in_flight} of the tenant's {tenant.concurrency_cap} jobs at once are running."
        reasons.append(WaitingReason("tenant_cap_reached", detail))
    return [*reasons, *_worker_time(tenant)]


def _worker_time(tenant: Tenant) -> list[WaitingReason]:
    now = datetime.now(UTC)
    month = TenantUsage.objects.filter(tenant_id=tenant.pk, key=WORKER_SECONDS.key, period=month_of(now))
    used_us = month.values_list("amount", flat=True).first() or 0
    allowed = allowed_for(tenant.pk, WORKER_SECONDS)
    if allowed is None or used_us < allowed * WORKER_SECONDS.counts_per_unit:
        return []
    until = format_moment(month_end(now))
    return [WaitingReason("worker_seconds_used_up", f"The {allowed:,} s of worker time are used up until {until}.")]


def _topology(job: Job) -> list[WaitingReason]:
    queue = job.queue
    pause = KindPause.objects.filter(kind=job.kind).first()
    reasons = []
    if queue.is_paused:
        reasons.append(_stopped("queue_paused", "The queue is paused", queue.pause_reason, queue.paused_until))
    if pause is not None:
        reasons.append(_stopped("kind_paused", "Jobs of this kind are paused", pause.reason, pause.paused_until))
    reasons += _pool(queue)
    if not _live_workers(queue).exists():
        reasons.append(WaitingReason("no_workers", "No worker serves the queue at the moment."))
    return reasons


def _pool(queue: Queue) -> list[WaitingReason]:
    """The pool's pause and drain. Why the platform stops its machines is told to its staff alone."""
    pool, is_staff = queue.pool, require_scope().is_all_tenants
    reasons = []
    if pool.is_paused:
        why = pool.pause_reason if is_staff else ""
        reasons.append(_stopped("pool_paused", "The workers of this queue are paused", why, pool.paused_until))
    drain = Drain.objects.filter(scope=Drain.Scope.POOL, name=pool.name).first()
    if drain is not None:
        why = drain.reason if is_staff else ""
        reasons.append(_stopped("pool_draining", "The workers of this queue are being drained", why, drain.until))
    return reasons


def _stopped(code: str, what: str, reason: str, until: datetime | None) -> WaitingReason:
    ends = f" until {_moment(until)}" if until else ""
    return WaitingReason(code, f"{what}{ends}. {reason}".strip(), until)


def _live_workers(queue: Queue) -> QuerySet[Worker]:
    return Worker.objects.filter(
        pool_id=queue.pool_id,
        status=Worker.Status.ONLINE,
        heartbeat_at__gt=Now() - timedelta(seconds=lease_seconds()),
    )


def _moment(value: datetime) -> str:
    return value.isoformat(timespec="seconds").replace("+00:00", "Z")
