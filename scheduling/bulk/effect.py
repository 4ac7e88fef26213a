"""Estimate of how a bulk operation changes the waits of all tenants, from predicted costs and fair shares.

Every read is bounded: matching jobs are counted by group up to the preview's limit, tenants with little waiting work
are summed in the database, and the number of jobs in flight is at most the number of slots.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isinf
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.bulk.queries import MatchingGroup
from scheduling.fairness.wait_projection import ProjectedWait, QueueWork, TenantWork, project_waits
from scheduling.jobs.lifecycle import JobState
from scheduling.models import CFSPlan, Queue
from scheduling.shares.entitlements import effective_weights
from scheduling.shares.raw import fetch_rows
from tenants.context import all_tenants, require_scope
from tenants.database.platform_settings import platform_settings
from tenants.database.sql import load_sql

MOST_AFFECTED = 10
# Tenants with the most waiting work that are projected one by one in each pool, besides those with changed work.
NAMED_TENANTS = 40
# Limit of changed pairs of tenant and queue, largest change first; the rest are left out.
CHANGED_LINES = 100
# Smaller changes of a wait count as unchanged.
LEAST_SECONDS = 0.1

ESTIMATE, CAPPED, OWN_ORDER, NO_SLOTS, ROUTED, WAITING, FIFO, OWN_ONLY = (
    "estimate",
    "capped",
    "own_order",
    "no_slots",
    "routed",
    "waiting",
    "fifo",
    "own_only",
)
# Notes on what an estimate leaves out, by code.
EFFECT_NOTES = {
    ESTIMATE: gettext_noop(
        "Estimated from predicted costs and fair shares, without further arrivals. Paused, suspended "
        "and breaker-held jobs and rate limits are left out; tenants with little work are combined."
    ),
    CAPPED: gettext_noop("Only the first of the matching jobs were counted; the others change waits further."),
    OWN_ORDER: gettext_noop("Only the order of the tenant's own jobs changes: no other tenant waits longer."),
    NO_SLOTS: gettext_noop("A pool has no slots now: jobs waiting there do not start."),
    ROUTED: gettext_noop("New jobs are assumed to go to the queues of the old ones; routing may choose other queues."),
    WAITING: gettext_noop("Running and suspended jobs are not counted; scheduled jobs count as if they were due."),
    FIFO: gettext_noop("Jobs start in the order of arrival; shares are ignored."),
    OWN_ONLY: gettext_noop("Other tenants are not shown."),
}

_SQL = load_sql(__file__)
_COSTS, _LINES, _SLOTS = _SQL["predict_costs"], _SQL["find_lines"], _SQL["count_slots"]
_RUNNING = _SQL["find_running"]


@dataclass(frozen=True, slots=True)
class BacklogChange:
    """How an action changes the work that waits for workers.

    ``takes`` are the states of the jobs whose work it removes, ``brings`` those of the jobs whose work it adds. The
    work is added to the queue ``queue_id``, or to the job's own queue if that is None.
    """

    takes: frozenset[JobState] = frozenset()
    brings: frozenset[JobState] = frozenset()
    queue_id: int | None = None
    makes_new_jobs: bool = False


@dataclass(frozen=True, slots=True)
class WaitRow:
    """Seconds that a job submitted now by this tenant would wait in this pool, before and after the operation.

    None means that it would never start.
    """

    tenant: str
    pool: str
    now_seconds: float | None
    after_seconds: float | None

    @property
    def verdict(self) -> str:
        """Return `loses` if the wait becomes longer, `gains` if it becomes shorter, else `unchanged`."""
        now, after = (inf if side is None else side for side in (self.now_seconds, self.after_seconds))
        if now == after or abs(after - now) < LEAST_SECONDS:
            return "unchanged"
        return "loses" if after > now else "gains"


@dataclass(frozen=True, slots=True)
class BulkEffect:
    """Estimate for the most affected tenants, longer waits first; ``notes`` are keys of `EFFECT_NOTES`."""

    lines: Sequence[WaitRow] = ()
    notes: Sequence[str] = ()


@dataclass(slots=True)
class _Change:
    """Change of one tenant's work in one queue: number and cost of removed ready jobs, and the added cost."""

    taken_jobs: int = 0
    taken_us: float = 0.0
    brought_us: float = 0.0

    @property
    def size_us(self) -> float:
        return self.taken_us + self.brought_us

    def after_us(self, jobs: float, now_us: float) -> float:
        """Return the work in microseconds that remains of ``now_us``: none of it if all ``jobs`` are removed."""
        left_us = 0.0 if self.taken_jobs >= jobs else max(0.0, now_us - self.taken_us)
        return left_us + self.brought_us


@dataclass(slots=True)
class _Pool:
    """Work that waits in the queues of one worker pool, and the slugs of its tenants."""

    work: dict[int, list[TenantWork[UUID]]] = field(default_factory=lambda: defaultdict(list))
    slugs: dict[UUID, str] = field(default_factory=dict)


def read_effect(shift: BacklogChange, groups: Iterable[MatchingGroup], *, is_capped: bool) -> BulkEffect:
    """Return the estimated waits before and after an action on these groups of jobs, in at most eight queries.

    In the context of one tenant, only the waits of this tenant are returned.
    """
    if not (shift.takes or shift.brings):
        return BulkEffect(notes=[OWN_ORDER])
    groups = [group for group in groups if group.state in shift.takes | shift.brings]
    own_id = require_scope().tenant_id
    notes = [ESTIMATE, *([CAPPED] if is_capped else ()), *([OWN_ONLY] if own_id is not None else ())]
    notes += [*([WAITING] if shift.takes else ()), *([ROUTED] if shift.makes_new_jobs else ())]
    if not groups:
        return BulkEffect(notes=notes)
    with all_tenants():  # the waits depend on all tenants' work, but only the scope's own are returned
        return _project(_changes(shift, groups), own_id, notes)


def _changes(shift: BacklogChange, groups: Sequence[MatchingGroup]) -> dict[tuple[UUID, int], _Change]:
    values = {
        "tenants": [group.tenant_id for group in groups],
        "kinds": [group.kind for group in groups],
        "queues": [group.queue_id for group in groups],
    }
    changes: dict[tuple[UUID, int], _Change] = defaultdict(_Change)
    for group, cost in zip(groups, fetch_rows(_COSTS, values), strict=True):
        if group.state in shift.takes:
            change = changes[group.tenant_id, group.queue_id]
            change.taken_jobs += group.count
            change.taken_us += group.count * cost.cost_us
        if group.state in shift.brings:
            queue_id = group.queue_id if shift.queue_id is None else shift.queue_id
            changes[group.tenant_id, queue_id].brought_us += group.count * cost.cost_us
    greatest = sorted(changes.items(), key=lambda item: -item[1].size_us)
    return dict(greatest[:CHANGED_LINES])


def _project(changes: Mapping[tuple[UUID, int], _Change], own_id: UUID | None, notes: list[str]) -> BulkEffect:
    pools = _read_pools(changes)
    if not pools:
        return BulkEffect(notes=notes)
    values = {"pools": list(pools), "lease_seconds": platform_settings.LEASE_SECONDS}
    slots = {row.pool_id: row for row in fetch_rows(_SLOTS, values)}
    running: dict[int, list[float]] = defaultdict(list)
    for row in fetch_rows(_RUNNING, values):
        running[row.pool_id].append(row.left_us)
    plan = CFSPlan.objects.filter(is_active=True).prefetch_related("tiers").first()
    queues = list(Queue.objects.filter(pool_id__in=list(pools)))
    weights = effective_weights(queues, plan)
    is_fifo = plan is not None and plan.strategy == CFSPlan.Strategy.NOP
    found: list[tuple[ProjectedWait[UUID], str, str]] = []
    for pool_id, pool in pools.items():
        work = [
            QueueWork(weights[queue.pk], pool.work[queue.pk], inf if queue.cap is None else queue.cap)
            for queue in queues
            if queue.pk in pool.work
        ]
        waits = project_waits(slots[pool_id].slots, work, running[pool_id], is_fifo=is_fifo)
        name = slots[pool_id].name
        found += [(change, pool.slugs[change.tenant], name) for change in waits if own_id in (None, change.tenant)]
    lines = [_line(*each) for each in sorted(found, key=lambda each: (each[0].longer_us <= 0, -abs(each[0].longer_us)))]
    # A tenant's own scope sees its lines even if they are unchanged.
    shown = [line for line in lines if own_id is not None or line.verdict != "unchanged"]
    notes += [*([NO_SLOTS] if not all(row.slots for row in slots.values()) else ()), *([FIFO] if is_fifo else ())]
    return BulkEffect(shown[:MOST_AFFECTED], notes)


def _read_pools(changes: Mapping[tuple[UUID, int], _Change]) -> dict[int, _Pool]:
    """Return by id the pools of the changed queues, with the work that waits there before and after the action."""
    values = {
        "tenants": [tenant_id for tenant_id, _ in changes],
        "queues": [queue_id for _, queue_id in changes],
        "named": NAMED_TENANTS,
    }
    pools: dict[int, _Pool] = {}
    for row in fetch_rows(_LINES, values):
        change = changes.get((row.tenant_id, row.queue_id))
        after_us = row.work_us if change is None else change.after_us(row.jobs, row.work_us)
        pool = pools.setdefault(row.pool_id, _Pool())
        pool.work[row.queue_id].append(TenantWork(row.tenant_id, row.weight, row.work_us, after_us, row.cap))
        if row.tenant_id is not None:
            pool.slugs[row.tenant_id] = row.slug
    return pools


def _line(change: ProjectedWait[UUID], tenant: str, pool: str) -> WaitRow:
    return WaitRow(tenant, pool, _seconds(change.now_us), _seconds(change.after_us))


def _seconds(wait_us: float) -> float | None:
    return None if isinf(wait_us) else round(wait_us / 1e6, 3)
