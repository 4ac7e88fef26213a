"""Recent use of slots by each tenant, compared with its entitlement by the current weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import inf
from uuid import UUID

from django.db.models import F, Q
from django.db.models.functions import Coalesce
from psycopg.rows import class_row

from scheduling.fairness.entitlement import QueueDemand, TenantDemand, entitlements, jain_index
from scheduling.models import CFSPlan, FairShareNode, Queue
from scheduling.statistics.throughput import EndedCounts
from tenants.context import require_scope
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from tenants.models import Tenant

# The most tenants that are compared; the panel shows if there are more.
ENTITY_LIMIT = 5_000
LINE_LIMIT = 20
BELOW, ABOVE = 0.8, 1.2

_IN_FLIGHT = load_sql(__file__)["count_in_flight"]


class EntitlementState(StrEnum):
    """Result of comparing a tenant's use with its entitlement; only a tenant with waiting jobs can be below."""

    BELOW = "below"
    FAIR = "fair"
    ABOVE = "above"
    IDLE = "idle"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class InFlight:
    """Executions of one tenant in flight in one queue: their number, the slots they hold, and slot time in the window.

    If jobs share a message, each is counted with an equal part of its slot.
    """

    queue_id: int
    tenant_id: UUID
    dispatched: int
    executing: int
    slots: float
    busy_seconds: float


@dataclass(frozen=True, slots=True)
class TenantShareRow:
    """Use and entitlement of one tenant; shares are fractions of all slots.

    ``entitled_*`` are None if only the current tenant's own rows are visible.
    """

    tenant_id: UUID
    name: str
    plan_name: str
    cap: int
    waiting: int
    in_flight: int
    is_backlogged: bool
    used_seconds: float
    used_share: float | None
    entitled_slots: float | None
    entitled_share: float | None

    @property
    def ratio(self) -> float | None:
        """Return used share over entitled share; 1.0 is exactly fair. Return None if one is unknown."""
        if self.used_share is None or not self.entitled_share:
            return None
        return self.used_share / self.entitled_share

    @property
    def verdict(self) -> EntitlementState:
        if self.ratio is None:
            return EntitlementState.UNKNOWN if self.is_backlogged or self.in_flight else EntitlementState.IDLE
        if self.ratio > ABOVE:
            return EntitlementState.ABOVE
        if self.ratio < BELOW and self.is_backlogged:
            return EntitlementState.BELOW
        return EntitlementState.FAIR


@dataclass(frozen=True, slots=True)
class FairShare:
    """Panel of the overview: the tenants with the greatest entitlements, greatest first, and how even their shares are.

    ``jain`` (Jain's index) is None if fewer than two tenants can be compared.
    """

    lines: list[TenantShareRow]
    hidden: int
    jain: float | None
    is_cut: bool
    plan_name: str
    is_off: bool
    starving: int


@dataclass(frozen=True, slots=True)
class _Entity:
    """A tenant in one queue, with the counts of its fair keys added."""

    queue_id: int
    tenant_id: UUID
    weight_milli: int
    is_runnable: bool
    waiting: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class _Tenant:
    """Columns of a tenant that the panel shows; not a model instance, because thousands are read."""

    id: UUID
    name: str
    plan_name: str
    cap: int


def read_in_flight(now: datetime, since: datetime) -> list[InFlight]:
    """Return the executions in flight by queue and tenant, in one query.

    In the context of one tenant, a message shared with other tenants' jobs counts as held by that tenant alone.
    """
    require_scope()  # raw SQL bypasses the managers' check, so it is here
    return fetch_all(_IN_FLIGHT, {"now": now, "since": since}, class_row(InFlight), is_planned=True)


def read_fair_share(
    *,
    queues: Sequence[Queue],
    slots_by_pool: Mapping[int, int],
    in_flight: Sequence[InFlight],
    ended_by_tenant: Mapping[UUID, EndedCounts],
    limit: int = LINE_LIMIT,
) -> FairShare:
    """Return the panel in four queries: the active plan, its tiers, the nodes of tenants in queues, and the tenants."""
    plan = CFSPlan.objects.filter(is_active=True).prefetch_related("tiers").first()
    entities = _demanding_entities()
    weights = effective_weights(queues, plan)
    used = _used_seconds(in_flight, ended_by_tenant)
    tenants = _read_tenants([*(entity.tenant_id for entity in entities[:ENTITY_LIMIT]), *used])
    shares = _entitled_slots(queues, slots_by_pool, entities[:ENTITY_LIMIT], tenants, weights, in_flight)
    lines = _lines(entities[:ENTITY_LIMIT], tenants, shares, used)
    compared = [line.ratio for line in lines if line.is_backlogged and line.ratio is not None]
    return FairShare(
        lines=lines[:limit],
        hidden=max(0, len(lines) - limit),
        jain=jain_index(compared) if len(compared) > 1 else None,
        is_cut=len(entities) > ENTITY_LIMIT,
        plan_name=plan.name if plan else "",
        is_off=plan is None or plan.strategy == CFSPlan.Strategy.NOP,
        starving=sum(line.verdict is EntitlementState.BELOW for line in lines),
    )


def effective_weights(queues: Iterable[Queue], plan: CFSPlan | None) -> dict[int, int]:
    """Return each queue's weight by id: that of the active plan or, if it has none, the queue's own."""
    by_plan: dict[int, int] = {}
    for row in plan.tiers.all() if plan else ():
        for queue_id in filter(None, (row.queue_id, row.io_queue_id)):
            by_plan[queue_id] = max(row.weight, by_plan.get(queue_id, 0))
    return {queue.id: by_plan.get(queue.id, queue.weight) for queue in queues}


def _demanding_entities() -> list[_Entity]:
    """Return tenants in queues with waiting or running jobs; one row above the limit shows that there are more."""
    has_demand = Q(is_runnable=True)
    for count in ("waiting", "keys_waiting", "in_flight", "keys_in_flight"):
        has_demand |= Q(**{f"{count}__gt": 0})
    rows = FairShareNode.objects.filter(has_demand, parent=None).values_list(
        "queue_id",
        "tenant_id",
        "weight_milli",
        "is_runnable",
        F("waiting") + F("keys_waiting"),
        F("in_flight") + F("keys_in_flight"),
    )
    return [_Entity(*row) for row in rows.order_by("id")[: ENTITY_LIMIT + 1]]


def _read_tenants(tenant_ids: Iterable[UUID]) -> dict[UUID, _Tenant]:
    """Return the shown columns of these tenants by id."""
    cap = Coalesce("max_concurrency", "plan__max_concurrency")
    rows = Tenant.objects.filter(id__in=set(tenant_ids)).values_list("id", "name", "plan__name", cap)
    return {row[0]: _Tenant(*row) for row in rows}


def _entitled_slots(
    queues: Sequence[Queue],
    slots_by_pool: Mapping[int, int],
    entities: Sequence[_Entity],
    tenants: Mapping[UUID, _Tenant],
    weights: Mapping[int, int],
    in_flight: Sequence[InFlight],
) -> dict[UUID, float] | None:
    """Return the entitled slots by tenant over all pools.

    Return None in a tenant's context, which does not include the demand of others.
    """
    if not require_scope().is_all_tenants:
        return None
    running = {(row.queue_id, row.tenant_id) for row in in_flight}
    by_queue: dict[int, list[TenantDemand[UUID]]] = defaultdict(list)
    for entity in entities:
        # A tenant at its cap is not runnable, but its running jobs show its demand.
        if entity.is_runnable or (entity.queue_id, entity.tenant_id) in running:
            demand = TenantDemand(entity.tenant_id, entity.weight_milli / 1000, tenants[entity.tenant_id].cap)
            by_queue[entity.queue_id].append(demand)
    totals: dict[UUID, float] = defaultdict(float)
    for pool_id, slots in slots_by_pool.items():
        demands = [
            QueueDemand(queue.id, weights[queue.id], inf if queue.cap is None else queue.cap, by_queue[queue.id])
            for queue in queues
            if queue.pool_id == pool_id and not queue.is_paused and by_queue[queue.id]
        ]
        for (_, tenant_id), share in entitlements(slots, demands).items():
            totals[tenant_id] += share
    return dict(totals)


def _used_seconds(in_flight: Sequence[InFlight], ended: Mapping[UUID, EndedCounts]) -> dict[UUID, float]:
    used: dict[UUID, float] = defaultdict(float)
    for tenant_id, work in ended.items():
        used[tenant_id] += work.busy_seconds
    for row in in_flight:
        used[row.tenant_id] += row.busy_seconds
    return dict(used)


def _lines(
    entities: Sequence[_Entity],
    tenants: Mapping[UUID, _Tenant],
    shares: Mapping[UUID, float] | None,
    used: Mapping[UUID, float],
) -> list[TenantShareRow]:
    by_tenant: dict[UUID, list[_Entity]] = defaultdict(list)
    for entity in entities:
        by_tenant[entity.tenant_id].append(entity)
    used_total = sum(used.values())
    entitled_total = sum(shares.values()) if shares else 0.0
    lines = [
        _line(
            tenant,
            by_tenant[tenant_id],
            used_seconds=used.get(tenant_id, 0.0),
            used_total=used_total if shares is not None else 0.0,
            entitled_slots=None if shares is None else shares.get(tenant_id, 0.0),
            entitled_total=entitled_total,
        )
        for tenant_id, tenant in tenants.items()
    ]
    return sorted(lines, key=lambda line: (-(line.entitled_slots or 0.0), -line.used_seconds, line.name))


def _line(
    tenant: _Tenant,
    entities: Sequence[_Entity],
    *,
    used_seconds: float,
    used_total: float,
    entitled_slots: float | None,
    entitled_total: float,
) -> TenantShareRow:
    return TenantShareRow(
        tenant_id=tenant.id,
        name=tenant.name,
        plan_name=tenant.plan_name,
        cap=tenant.cap,
        waiting=sum(entity.waiting for entity in entities),
        in_flight=sum(entity.in_flight for entity in entities),
        # A tenant at its cap is not runnable, but is backlogged.
        is_backlogged=any(row.is_runnable or (row.waiting > 0 and row.in_flight > 0) for row in entities),
        used_seconds=used_seconds,
        used_share=used_seconds / used_total if used_total else None,
        entitled_slots=entitled_slots,
        entitled_share=entitled_slots / entitled_total if entitled_slots is not None and entitled_total else None,
    )
