"""Queries of the overview page, which read rollups, gauges and the few rows of queues and workers, but no jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Sum
from django.db.models.functions import Now

from scheduling.breakers.queries import open_circuits, read_open_circuits
from scheduling.bulk.queries import list_open_operations
from scheduling.conf import UPKEEP_QUEUE
from scheduling.fleet.announced_kinds import UnknownKind, unknown_kinds_of
from scheduling.fleet.queue_consumers import unread_since
from scheduling.jobs.waits.start_conditions import is_recent
from scheduling.models import BulkOperation, FairShareNode, Queue, Worker
from scheduling.shares.history import HistorySpan, ShareHistory, read_share_history
from scheduling.statistics.gauge_queries import (
    Gauges,
    PoolMinutes,
    read_pool_minutes,
)
from scheduling.statistics.throughput import STALE_AFTER, RecentWork
from scheduling.stops.queries import Stop, list_stops
from scheduling.topology.queue_rows import BackoffCounts, QueueRow, build_queue_rows, read_work_and_gauges
from tenants.context import require_scope
from tenants.database.clock import read_clock
from tenants.database.platform_settings import platform_settings
from tenants.models import AuditLogEntry

# The dispatcher ticks at least four times a second; a silence this long is a fault.
DISPATCHER_SILENCE_SECONDS = 5.0
AUDIT_LIMIT = 8
CELL_LIMIT = 96


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A pool with the slots of its live workers, its messages in flight and the seconds since its last tick."""

    name: str
    workers: list[Worker]
    slots: int
    in_flight: int
    ticked_seconds: float | None
    is_broker_away: bool
    # Last fault of publishing to the broker, or empty.
    publish_fault: str
    # Whether it has a queue besides that of upkeep.
    runs_jobs: bool = True
    region: str = ""

    @property
    def slot_cells(self) -> list[bool]:
        """Return for each slot whether it is in use, used slots first, at most CELL_LIMIT."""
        return [index < self.in_flight for index in range(min(self.slots, CELL_LIMIT))]

    @property
    def is_dispatcher_silent(self) -> bool:
        """Return whether the last tick was too long ago, although no dispatcher reported an unavailable broker."""
        is_late = self.ticked_seconds is None or self.ticked_seconds > DISPATCHER_SILENCE_SECONDS
        return is_late and not self.is_broker_away


@dataclass(frozen=True, slots=True)
class RegionRow:
    """A region with its pools: live workers, their slots, messages in flight and waiting jobs."""

    name: str
    pools: Sequence[str]
    workers: int
    slots: int
    in_flight: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Data of the overview page. ``pools`` is empty for a tenant, which sees only its own numbers."""

    now: datetime
    is_all_tenants: bool
    queues: list[QueueRow]
    pools: list[PoolRow]
    has_workers: bool
    is_dispatcher_silent: bool
    is_broker_away: bool
    work: RecentWork
    gauges: Gauges
    pool_minutes: PoolMinutes | None
    stops: list[Stop]
    # Open breakers by kind and dependency: the tenant's own, or all.
    open_circuits: Mapping[tuple[str, str], int]
    bulk_operations: list[BulkOperation]

    @property
    def waiting(self) -> int:
        return sum(line.waiting for line in self.queues)

    @property
    def oldest_seconds(self) -> float | None:
        return max((line.oldest_seconds for line in self.queues if line.oldest_seconds is not None), default=None)

    @property
    def executing(self) -> int:
        return sum(line.executing for line in self.queues)

    @property
    def dispatched(self) -> int:
        return sum(line.dispatched for line in self.queues)

    @property
    def in_flight(self) -> int:
        """Return the number of messages in flight; each uses one slot, however many jobs it carries."""
        return round(sum(line.slots for line in self.queues))

    @property
    def slots(self) -> int:
        """Return the number of slots for jobs."""
        return sum(pool.slots for pool in self.pools if pool.runs_jobs)

    @property
    def regions(self) -> list[RegionRow]:
        """Return the regions of the pools by name; pools without a region have no row."""
        rows = []
        for name in sorted({pool.region for pool in self.pools} - {""}):
            pools = [pool for pool in self.pools if pool.region == name]
            waiting = sum(line.waiting for line in self.queues if line.queue.pool.region == name)
            workers, slots = sum(len(pool.workers) for pool in pools), sum(pool.slots for pool in pools)
            in_flight = sum(pool.in_flight for pool in pools)
            rows.append(RegionRow(name, [pool.name for pool in pools], workers, slots, in_flight, waiting))
        return rows

    @property
    def publish_faults(self) -> list[PoolRow]:
        """Return the pools for which the broker recently refused a message."""
        return [pool for pool in self.pools if pool.publish_fault]

    @property
    def unread_queues(self) -> list[Queue]:
        """Return the queues that have work or routing rules, but no live worker that consumes them."""
        return [line.queue for line in self.queues if unread_since(line.queue) is not None]

    @property
    def unknown_kinds(self) -> list[UnknownKind]:
        """Return the kinds whose jobs have waited five minutes because no live worker announces the kind."""
        return unknown_kinds_of({line.queue.pool for line in self.queues}, self.now)

    @property
    def back_offs(self) -> BackoffCounts:
        parts = [line.back_offs for line in self.queues]
        next_at = min((part.next_at for part in parts if part.next_at), default=None)
        return BackoffCounts(sum(part.waiting for part in parts), sum(part.due for part in parts), next_at)

    @property
    def per_minute(self) -> float:
        return self.work.total.completed / self.work.minutes

    @property
    def dead_letters(self) -> int:
        """Return the number of new dead letters in the last hour."""
        return sum(bucket.dead_letters for bucket in self.work.buckets)

    @property
    def is_stale(self) -> bool:
        """Return whether the numbers are more than a minute old."""
        sampled_at = self.gauges.sampled_at
        is_old = self.is_all_tenants and (sampled_at is None or self.now - sampled_at > STALE_AFTER)
        return is_old or self.work.is_stale

    @property
    def as_of(self) -> datetime | None:
        """Return the time of the oldest of the numbers, or None if some were never measured."""
        sampled_at = self.gauges.sampled_at if self.is_all_tenants else self.work.as_of
        return None if sampled_at is None or self.work.as_of is None else min(sampled_at, self.work.as_of)


@dataclass(frozen=True, slots=True)
class Shares:
    """The tenants' shares of the slots, and the last entries of the audit log."""

    is_all_tenants: bool
    history: ShareHistory
    audit: list[AuditLogEntry]


def read_overview() -> Overview:
    """Return the data of the overview page in the current tenant context, in at most eight queries.

    Their cost does not depend on the number of jobs nor, except for a tenant's own rows, on the number of tenants.
    """
    is_all_tenants = require_scope().is_all_tenants
    queues, now = _read_queues(circuits=open_circuits())
    work, gauges = read_work_and_gauges(now)
    lines = build_queue_rows(queues, gauges, work, None if is_all_tenants else _own_waiting())
    pools = _pool_lines(now, queues, _live_workers(now), lines)
    return Overview(
        now=now,
        is_all_tenants=is_all_tenants,
        queues=lines,
        pools=pools if is_all_tenants else [],
        has_workers=any(pool.slots for pool in pools),
        is_dispatcher_silent=any(pool.is_dispatcher_silent for pool in pools),
        is_broker_away=any(pool.is_broker_away for pool in pools),
        work=work,
        gauges=gauges,
        pool_minutes=read_pool_minutes(now) if is_all_tenants else None,
        stops=list_stops(),
        open_circuits=read_open_circuits(queues[0].circuits) if queues else {},  # type: ignore[attr-defined]
        bulk_operations=list_open_operations(),
    )


def read_shares() -> Shares:
    """Return the tenants' shares of the last ten minutes, and the last changes, in ten queries."""
    return Shares(
        is_all_tenants=require_scope().is_all_tenants,
        history=read_share_history(HistorySpan.RECENT),
        audit=list(AuditLogEntry.objects.select_related("tenant").order_by("-id")[:AUDIT_LIMIT]),
    )


def _read_queues(**columns: Any) -> tuple[list[Queue], datetime]:
    """Return the queues with their pools and pool clocks, and the database's time."""
    rows = Queue.objects.select_related("pool__clock", "standing").annotate(now=Now(), **columns)
    queues = list(rows.order_by("pool__name", "name"))
    return list[Queue](queues), queues[0].now if queues else read_clock()


def _own_waiting() -> Mapping[int, int]:
    """Return the number of the tenant's waiting jobs by queue id, from the counters of its fair-share nodes."""
    lines = FairShareNode.objects.order_by().values_list("queue_id")
    return dict(lines.annotate(waiting=Sum("waiting")))


def _live_workers(now: datetime) -> list[Worker]:
    """Return the workers whose slots count: they are online, and their last heartbeat is within the lease."""
    heard_since = now - timedelta(seconds=platform_settings.LEASE_SECONDS)
    return list(Worker.objects.filter(status=Worker.Status.ONLINE, heartbeat_at__gt=heard_since))


def _pool_lines(
    now: datetime, queues: Sequence[Queue], workers: Sequence[Worker], lines: Sequence[QueueRow]
) -> list[PoolRow]:
    """Return the rows of the pools that have queues."""
    pools = {queue.pool_id: queue.pool for queue in queues}
    found = []
    for pool_id, pool in pools.items():
        own = [worker for worker in workers if worker.pool_id == pool_id]
        busy = round(sum(line.slots for line in lines if line.queue.pool_id == pool_id))
        clock = getattr(pool, "clock", None)
        ticked_at = clock.ticked_at if clock else None
        ticked = None if ticked_at is None else (now - ticked_at).total_seconds()
        is_broker_away = clock is not None and is_recent(clock.broker_away_at, now)
        fault = clock.publish_fault if clock is not None and is_recent(clock.publish_failed_at, now) else ""
        slots = sum(worker.slots for worker in own)
        runs_jobs = any(queue.pool_id == pool_id and queue.name != UPKEEP_QUEUE for queue in queues)
        found.append(PoolRow(pool.name, own, slots, busy, ticked, is_broker_away, fault, runs_jobs, pool.region))
    return found
