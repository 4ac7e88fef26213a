"""Input of a what-if replay: the recent and present jobs of a pool, with the present settings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count
from django.utils.translation import gettext

from scheduling.conf import SMALL_US
from scheduling.exceptions import PoolNotFoundError
from scheduling.fairness.lab import OrderPolicy
from scheduling.fairness.lab.load import PlanTerms, PoolScenario, QueueTerms, TenantTerms, TierTerms
from scheduling.fairness.lab.what_if import Note, NoteCode
from scheduling.models import CFSPlan, Queue, WorkerPool
from scheduling.what_if.recent_jobs import RecentJobSample, read_recent_jobs
from tenants.cache.shared_cache import cache_seconds
from tenants.context import all_tenants
from tenants.models import Plan, Tenant

WINDOW = timedelta(hours=1)
# While values are typed, the jobs are those of the first question; of this many pools and windows.
KEPT_SECONDS, MOST_KEPT = 15.0, 4
_kept: dict[tuple[int, timedelta], tuple[float, RecentJobSample]] = {}


@dataclass(frozen=True, slots=True)
class RecentLoad:
    """Input of a replay, with notes on its limitations."""

    load: PoolScenario
    notes: Sequence[Note]


def read_recent_load(pool: str | None = None, *, window: timedelta = WINDOW, may_be_kept: bool = False) -> RecentLoad:
    """Return the jobs of the last ``window`` of ``pool`` and its present jobs, with the present settings.

    Without ``pool``, the pool that serves most queues is read. The number of queries does not depend on that of jobs.
    With ``may_be_kept`` the jobs may come from a cache and be KEPT_SECONDS old; the settings are always current. Raise
    PoolNotFoundError for an unknown pool.
    """
    with all_tenants():
        found = _find_pool(pool)
        kept = _kept.get((found.pk, window)) if may_be_kept else None
        if kept is not None and time.monotonic() < kept[0] and (load := _describe(found, kept[1])) is not None:
            return load
        until, jobs = time.monotonic() + KEPT_SECONDS, read_recent_jobs(found, window)
        load = _describe(found, jobs)
        assert load is not None
    if may_be_kept and cache_seconds():
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        _kept[found.pk, window] = until, jobs
    return load


def _find_pool(name: str | None) -> WorkerPool:
    pools = WorkerPool.objects.annotate(size=Count("queues")).order_by("-size", "pk")
    pool = pools.first() if name is None else pools.filter(name=name).first()
    if pool is None:
        raise PoolNotFoundError
    return pool


def _describe(pool: WorkerPool, jobs: RecentJobSample) -> RecentLoad | None:
    """Return the jobs with the present settings, or None if one of their tenants or queues no longer exists."""
    queues = list(Queue.objects.filter(pool=pool).order_by("pk"))
    queue_numbers = {queue.pk: number for number, queue in enumerate(queues)}
    tenant_ids = list(dict.fromkeys(tenant_id for _, tenant_id in jobs.places))
    tenant_numbers = {tenant_id: number for number, tenant_id in enumerate(tenant_ids)}
    tenants = {str(row.pk): row for row in Tenant.objects.select_related("plan").filter(pk__in=tenant_ids)}
    if len(tenants) < len(tenant_ids) or any(queue_id not in queue_numbers for queue_id, _ in jobs.places):
        return None
    plan = CFSPlan.objects.filter(is_active=True).prefetch_related("tiers__queue", "tiers__io_queue").first()
    names = {queue.name for queue in queues}
    load = PoolScenario(
        pool=pool.name,
        slots=jobs.slots,
        policy=OrderPolicy.FIFO if plan is None or plan.strategy == CFSPlan.Strategy.NOP else OrderPolicy.TIME_SLICE,
        granularity_seconds=plan.granularity_seconds if plan else 120,
        queues=[QueueTerms(queue.name, queue.weight, queue.cap, queue.expected_seconds) for queue in queues],
        plans={row.slug: PlanTerms(row.weight, row.max_concurrency) for row in Plan.objects.all()},
        tenants=[_tenant_terms(tenants[tenant_id]) for tenant_id in tenant_ids],
        tiers={
            row.key: TierTerms(queue.name, row.weight)
            for row in (plan.tiers.all() if plan else ())
            for queue in row.queues
            if queue.name in names
        },
        places=[(queue_numbers[queue_id], tenant_numbers[tenant_id]) for queue_id, tenant_id in jobs.places],
        arrivals=jobs.arrivals,
        seconds=jobs.window.total_seconds(),
        running=jobs.running,
        stands_for=jobs.stands_for,
        turnaround_us=jobs.turnaround_us,
        small_us=SMALL_US,
    )
    return RecentLoad(load, _notes(jobs, plan))


def _tenant_terms(tenant: Tenant) -> TenantTerms:
    return TenantTerms(tenant.slug, tenant.plan.slug, float(tenant.weight_factor), tenant.max_concurrency)


def _notes(jobs: RecentJobSample, plan: CFSPlan | None) -> list[Note]:
    notes: list[Note] = []
    if jobs.unmeasured:
        text = gettext("%(count)s of %(total)s jobs have not run yet; their predicted costs are used.") % {
            "count": jobs.unmeasured,
            "total": jobs.arrived,
        }
        notes.append(Note(NoteCode.PREDICTED_COSTS, text))
    if jobs.is_elsewhere:
        text = gettext("Tenants of this pool also run jobs in other pools; their caps are applied to this pool only.")
        notes.append(Note(NoteCode.OTHER_POOLS, text))
    if plan is not None and plan.reserved_slots:
        text = gettext(
            "Slots are reserved for tenants below their share; the replay assigns all slots by the fair order."
        )
        notes.append(Note(NoteCode.RESERVED_SLOTS, text))
    return notes
