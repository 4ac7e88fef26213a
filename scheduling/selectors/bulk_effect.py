"""What a bulk operation would do to everybody's waits: an estimate of predicted costs and fair shares.

Every read is bounded: the matching jobs come counted by group, up to the preview's limit; tenants with little waiting
work are added up in the database; what is in flight is never more than there are slots.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isinf
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext_noop

from scheduling.conf import lease_seconds
from scheduling.fairness.waits import QueueWork, TenantWork, WaitChange, project_waits
from scheduling.lifecycle import JobState
from scheduling.models import CFSPlan, Queue
from scheduling.selectors.bulk import MatchingGroup
from scheduling.selectors.fairness import effective_weights
from tenants.context import all_tenants, require_scope

MOST_AFFECTED = 10
# Of each pool, so many tenants with most waiting work are reckoned one by one, beside those whose work changes.
NAMED_TENANTS = 40
# Tenants and queues whose work changes, those with most of it first; the work of others is left out.
CHANGED_LINES = 100
# A wait that changes by less is the same.
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
# What each answer leaves out, by its code.
EFFECT_NOTES = {
    ESTIMATE: gettext_noop(
        "An estimate by predicted costs and fair shares, as if nothing more arrived. What is paused, suspended or"
        " held by a breaker is left out, and so are rates; tenants with little work are reckoned together."
    ),
    CAPPED: gettext_noop(
        "Only the first of the matching jobs were counted: what is beyond them changes waits further."
    ),
    OWN_ORDER: gettext_noop("Only the order of a tenant's own jobs changes: nobody else waits longer."),
    NO_SLOTS: gettext_noop("A pool has no slots now: what waits there does not start."),
    ROUTED: gettext_noop("New jobs are taken to go to the queues of the old ones; routing may send them elsewhere."),
    WAITING: gettext_noop(
        "Jobs that run or are suspended do not count; those that wait for their time count as if it had come."
    ),
    FIFO: gettext_noop("Jobs start in the order of their arrival: shares count for nothing."),
    OWN_ONLY: gettext_noop("Of other tenants nothing is told."),
}

_COSTS = """
SELECT coalesce(tc.mean_us, kc.mean_us, (q.expected_seconds * 1000000)::bigint)::float8
FROM unnest(%(tenants)s::uuid[], %(kinds)s::text[], %(queues)s::bigint[]) WITH ORDINALITY
        AS g(tenant_id, kind, queue_id, n)
    JOIN scheduling_queue q ON q.id = g.queue_id
    LEFT JOIN scheduling_tenant_kind_cost tc ON tc.tenant_id = g.tenant_id AND tc.kind = g.kind
    LEFT JOIN scheduling_kind_cost kc ON kc.kind = g.kind
ORDER BY g.n
"""
# The lines of tenants in the pools whose work changes: those that change and the longest one by one, of the others
# those of a queue together whose work lasts about as long for their weight.
_LINES = """
WITH changed AS (
    SELECT DISTINCT c.tenant_id, c.queue_id, q.pool_id
    FROM unnest(%(tenants)s::uuid[], %(queues)s::bigint[]) AS c(tenant_id, queue_id)
        JOIN scheduling_queue q ON q.id = c.queue_id AND NOT q.is_paused
        JOIN tenants_tenant t ON t.id = c.tenant_id AND t.status = 'active' AND NOT t.is_paused
), waiting AS (
    SELECT q.pool_id, e.queue_id, e.tenant_id, e.weight_milli / 1000.0 AS weight, e.waiting + e.keys_waiting AS jobs,
        (e.waiting + e.keys_waiting)::float8 * e.estimate_us AS work_us
    FROM scheduling_queue q JOIN scheduling_schedulingentity e ON e.queue_id = q.id
    WHERE q.pool_id IN (SELECT pool_id FROM changed) AND NOT q.is_paused AND e.parent_id IS NULL
        AND e.waiting + e.keys_waiting > 0 AND e.weight_milli > 0 AND e.estimate_us > 0
        AND (e.is_runnable OR e.in_flight + e.keys_in_flight > 0)
), line AS (
    SELECT pool_id, queue_id, tenant_id, weight, jobs, work_us FROM waiting
    UNION ALL
    SELECT c.pool_id, c.queue_id, c.tenant_id, NULL, 0, 0 FROM changed c
    WHERE NOT EXISTS (SELECT FROM waiting w WHERE w.queue_id = c.queue_id AND w.tenant_id = c.tenant_id)
), told AS (
    SELECT l.*, coalesce(l.weight, greatest(0.001, p.weight * t.weight_factor)) AS share, t.slug,
        coalesce(t.max_concurrency, p.max_concurrency) AS cap,
        l.tenant_id IN (SELECT tenant_id FROM changed)
            OR row_number() OVER (PARTITION BY l.pool_id ORDER BY l.work_us DESC) <= %(named)s AS is_named
    FROM line l JOIN tenants_tenant t ON t.id = l.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
)
SELECT pool_id, queue_id, CASE WHEN is_named THEN tenant_id END, min(slug), sum(share)::float8, sum(cap)::float8,
    sum(jobs)::float8, sum(work_us)::float8
FROM told GROUP BY 1, 2, 3, CASE WHEN NOT is_named THEN floor(ln(work_us / share)) END
"""
_SLOTS = """
SELECT p.id, p.name, coalesce(sum(w.slots) FILTER (WHERE w.status = 'online'
    AND w.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s)), 0)
FROM scheduling_workerpool p LEFT JOIN scheduling_worker w ON w.pool_id = p.id AND NOT p.is_paused
WHERE p.id = ANY(%(pools)s) GROUP BY 1, 2
"""
# How long each message in flight will still hold its slot. One that is over its time goes on as long again.
_RUNNING = """
SELECT m.pool_id, greatest(m.predicted_us - m.us, m.us - m.predicted_us, m.predicted_us / 10.0)::float8
FROM (
    SELECT l.pool_id, sum(coalesce(l.whole_us, l.predicted_us))::float8 AS predicted_us,
        coalesce(1000000 * extract(epoch FROM clock_timestamp() - min(l.started_at)), 0)::float8 AS us
    FROM scheduling_execution_live l WHERE l.pool_id = ANY(%(pools)s) GROUP BY l.pool_id, l.message_id
) m
"""


@dataclass(frozen=True, slots=True)
class Shift:
    """What an act does to the lines of waiting jobs: from jobs in which states it takes work away, for which it brings
    some, and into which queue, where that is not their own."""

    takes: frozenset[JobState] = frozenset()
    brings: frozenset[JobState] = frozenset()
    queue_id: int | None = None
    makes_new_jobs: bool = False


@dataclass(frozen=True, slots=True)
class WaitLine:
    """How long what a tenant submits now would wait in a pool, in seconds, now and after; None: for ever."""

    tenant: str
    pool: str
    now_seconds: float | None
    after_seconds: float | None

    @property
    def verdict(self) -> str:
        """Who waits longer `loses`, who waits less long `gains`."""
        now, after = (inf if side is None else side for side in (self.now_seconds, self.after_seconds))
        if now == after or abs(after - now) < LEAST_SECONDS:
            return "unchanged"
        return "loses" if after > now else "gains"


@dataclass(frozen=True, slots=True)
class BulkEffect:
    """The most affected tenants, who waits longer first; ``notes`` are codes of `EFFECT_NOTES`."""

    lines: Sequence[WaitLine] = ()
    notes: Sequence[str] = ()


@dataclass(slots=True)
class _Change:
    """Of one tenant in one queue: ready jobs that go, with what they are predicted to cost, and work that comes."""

    taken_jobs: int = 0
    taken_us: float = 0.0
    brought_us: float = 0.0

    @property
    def size_us(self) -> float:
        return self.taken_us + self.brought_us

    def after_us(self, jobs: float, now_us: float) -> float:
        """What is left of a line; of one whose jobs all go nothing, whatever they are predicted to cost."""
        left_us = 0.0 if self.taken_jobs >= jobs else max(0.0, now_us - self.taken_us)
        return left_us + self.brought_us


@dataclass(slots=True)
class _Pool:
    """One pool's queues with the tenants' work in them."""

    work: dict[int, list[TenantWork[UUID]]] = field(default_factory=lambda: defaultdict(list))
    slugs: dict[UUID, str] = field(default_factory=dict)


def read_effect(shift: Shift, groups: Iterable[MatchingGroup], *, is_capped: bool) -> BulkEffect:
    """The waits before and after an act on these jobs, at most eight statements; a tenant is told its own alone."""
    if not (shift.takes or shift.brings):
        return BulkEffect(notes=[OWN_ORDER])
    groups = [group for group in groups if group.state in shift.takes | shift.brings]
    own_id = require_scope().tenant_id
    notes = [ESTIMATE, *([CAPPED] if is_capped else ()), *([OWN_ONLY] if own_id is not None else ())]
    notes += [*([WAITING] if shift.takes else ()), *([ROUTED] if shift.makes_new_jobs else ())]
    if not groups:
        return BulkEffect(notes=notes)
    with all_tenants():  # everybody's work decides how long one waits; a tenant is told no other's
        return _project(_changes(shift, groups), own_id, notes)


def _changes(shift: Shift, groups: Sequence[MatchingGroup]) -> dict[tuple[UUID, int], _Change]:
    values = {
        "tenants": [group.tenant_id for group in groups],
        "kinds": [group.kind for group in groups],
        "queues": [group.queue_id for group in groups],
    }
    changes: dict[tuple[UUID, int], _Change] = defaultdict(_Change)
    for group, (cost_us,) in zip(groups, _fetch(_COSTS, values), strict=True):
        if group.state in shift.takes:
            change = changes[group.tenant_id, group.queue_id]
            change.taken_jobs += group.count
            change.taken_us += group.count * cost_us
        if group.state in shift.brings:
            queue_id = group.queue_id if shift.queue_id is None else shift.queue_id
            changes[group.tenant_id, queue_id].brought_us += group.count * cost_us
    greatest = sorted(changes.items(), key=lambda item: -item[1].size_us)
    return dict(greatest[:CHANGED_LINES])


def _project(changes: Mapping[tuple[UUID, int], _Change], own_id: UUID | None, notes: list[str]) -> BulkEffect:
    pools = _read_pools(changes)
    if not pools:
        return BulkEffect(notes=notes)
    values = {"pools": list(pools), "lease_seconds": lease_seconds()}
    slots = {pool_id: (name, int(count)) for pool_id, name, count in _fetch(_SLOTS, values)}
    running: dict[int, list[float]] = defaultdict(list)
    for pool_id, left_us in _fetch(_RUNNING, values):
        running[pool_id].append(left_us)
    plan = CFSPlan.objects.filter(is_active=True).prefetch_related("tiers").first()
    queues = list(Queue.objects.filter(pool_id__in=list(pools)))
    weights = effective_weights(queues, plan)
    is_fifo = plan is not None and plan.strategy == CFSPlan.Strategy.NOP
    found: list[tuple[WaitChange[UUID], str, str]] = []
    for pool_id, pool in pools.items():
        name, count = slots[pool_id]
        work = [
            QueueWork(weights[queue.pk], pool.work[queue.pk], inf if queue.cap is None else queue.cap)
            for queue in queues
            if queue.pk in pool.work
        ]
        waits = project_waits(count, work, running[pool_id], is_fifo=is_fifo)
        found += [(change, pool.slugs[change.tenant], name) for change in waits if own_id in (None, change.tenant)]
    lines = [_line(*row) for row in sorted(found, key=lambda row: (row[0].longer_us <= 0, -abs(row[0].longer_us)))]
    # A tenant's own people are told where it stands all the same.
    told = [line for line in lines if own_id is not None or line.verdict != "unchanged"]
    notes += [*([NO_SLOTS] if any(not count for _, count in slots.values()) else ()), *([FIFO] if is_fifo else ())]
    return BulkEffect(told[:MOST_AFFECTED], notes)


def _read_pools(changes: Mapping[tuple[UUID, int], _Change]) -> dict[int, _Pool]:
    """The pools of the queues whose work changes, with the work that waits there now and after."""
    values = {
        "tenants": [tenant_id for tenant_id, _ in changes],
        "queues": [queue_id for _, queue_id in changes],
        "named": NAMED_TENANTS,
    }
    pools: dict[int, _Pool] = {}
    for pool_id, queue_id, tenant_id, slug, weight, cap, jobs, work_us in _fetch(_LINES, values):
        change = changes.get((tenant_id, queue_id))
        after_us = work_us if change is None else change.after_us(jobs, work_us)
        pool = pools.setdefault(pool_id, _Pool())
        pool.work[queue_id].append(TenantWork(tenant_id, weight, work_us, after_us, cap))
        if tenant_id is not None:
            pool.slugs[tenant_id] = slug
    return pools


def _line(change: WaitChange[UUID], tenant: str, pool: str) -> WaitLine:
    return WaitLine(tenant, pool, _seconds(change.now_us), _seconds(change.after_us))


def _seconds(wait_us: float) -> float | None:
    return None if isinf(wait_us) else round(wait_us / 1e6, 3)


def _fetch(statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
