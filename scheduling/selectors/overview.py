"""The reads of the console's first page: bounded statements, none of which counts jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Sum
from django.db.models.functions import Now

from scheduling.conf import lease_seconds
from scheduling.models import DeadLetter, PoolClock, Queue, SchedulingEntity, Worker
from scheduling.selectors.fairness import FairShare, InFlight, read_fair_share, read_in_flight
from scheduling.selectors.jobs import CappedCount
from scheduling.selectors.standing import is_recent
from scheduling.selectors.standings import unread_since
from scheduling.selectors.stops import Stop, list_stops
from scheduling.selectors.throughput import Ended, RecentWork, read_recent_work
from tenants.clock import read_clock
from tenants.context import require_scope
from tenants.ids import uuid7_floor
from tenants.models import AuditLogEntry

# The dispatcher ticks at least four times a second; silence for this long is no accident.
DISPATCHER_SILENCE_SECONDS = 5.0
# Back-offs looked at, soonest first; dead letters counted; audit entries shown.
BACK_OFF_LIMIT = 2_000
DEAD_LETTER_LIMIT = 1_000
DEAD_LETTER_AGE = timedelta(hours=24)
AUDIT_LIMIT = 8
CELL_LIMIT = 96

# The heads of at most 500 tenants, the longest waiting first: a job's own rank orders it inside its tenant only.
_OLDEST = """
SELECT head.queue_id, min(j.run_at) FROM (
    SELECT e.queue_id, r.job_id FROM (
        SELECT id, queue_id FROM scheduling_schedulingentity
        WHERE waiting > 0 AND (%(tenant)s::uuid IS NULL OR tenant_id = %(tenant)s) ORDER BY head_rank LIMIT 500
    ) e CROSS JOIN LATERAL (
        SELECT job_id FROM scheduling_job_ready WHERE entity_id = e.id ORDER BY rank, job_id LIMIT 1
    ) r
) head JOIN scheduling_job j ON j.id = head.job_id GROUP BY 1
"""
_BACK_OFFS = """
SELECT e.queue_id, count(*), count(*) FILTER (WHERE d.due_at <= now()), min(d.due_at) FROM (
    SELECT job_id, entity_id, due_at FROM scheduling_job_due
    WHERE %(tenant)s::uuid IS NULL OR tenant_id = %(tenant)s ORDER BY due_at LIMIT %(limit)s
) d JOIN scheduling_job j ON j.id = d.job_id AND j.state = 'retryable'
    JOIN scheduling_schedulingentity e ON e.id = d.entity_id
GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class BackOffs:
    """Jobs that wait for their next attempt; ``due`` are those whose time has come."""

    waiting: int = 0
    due: int = 0
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One queue. Rates are of the window, ages in seconds."""

    queue: Queue
    waiting: int
    oldest_seconds: float | None
    dispatched: int
    executing: int
    slots: float
    ended: Ended
    per_minute: float
    back_offs: BackOffs

    @property
    def is_quiet(self) -> bool:
        """Nothing waits, runs or ended lately."""
        return not (self.waiting or self.dispatched or self.executing or self.ended.completed or self.ended.failed)


@dataclass(frozen=True, slots=True)
class PoolLine:
    """One pool: slots of live workers, messages in flight, and how long ago its dispatcher ticked."""

    name: str
    workers: list[Worker]
    slots: int
    in_flight: int
    ticked_seconds: float | None
    is_broker_away: bool

    @property
    def slot_cells(self) -> list[bool]:
        """One cell a slot, the used ones first; no more than a page can show."""
        return [index < self.in_flight for index in range(min(self.slots, CELL_LIMIT))]

    @property
    def is_dispatcher_silent(self) -> bool:
        """One that says that it cannot publish is not silent."""
        is_late = self.ticked_seconds is None or self.ticked_seconds > DISPATCHER_SILENCE_SECONDS
        return is_late and not self.is_broker_away


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole page. ``pools`` is empty for a tenant, who sees its own numbers only."""

    now: datetime
    is_all_tenants: bool
    queues: list[QueueLine]
    pools: list[PoolLine]
    has_workers: bool
    is_dispatcher_silent: bool
    is_broker_away: bool
    work: RecentWork
    fair_share: FairShare
    dead_letters: CappedCount
    stops: list[Stop]
    audit: list[AuditLogEntry]

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
        """Messages: each has a slot, however many jobs travel in it."""
        return round(sum(line.slots for line in self.queues))

    @property
    def slots(self) -> int:
        return sum(pool.slots for pool in self.pools)

    @property
    def unread_queues(self) -> list[Queue]:
        """Those whose alarm is on: work or rules, and no live worker that reads them."""
        return [line.queue for line in self.queues if unread_since(line.queue) is not None]

    @property
    def back_offs(self) -> BackOffs:
        parts = [line.back_offs for line in self.queues]
        next_at = min((part.next_at for part in parts if part.next_at), default=None)
        return BackOffs(sum(part.waiting for part in parts), sum(part.due for part in parts), next_at)

    @property
    def per_minute(self) -> float:
        return self.work.total.completed / self.work.minutes


def read_overview() -> Overview:
    """Everything the page shows of the scope of the moment: at most 16 statements, whatever the number of jobs."""
    is_all_tenants = require_scope().is_all_tenants
    queues = list(Queue.objects.select_related("pool", "standing").order_by("pool__name", "name"))
    clocks = list(PoolClock.objects.select_related("pool").annotate(now=Now()).order_by("pool__name"))
    now = clocks[0].now if clocks else read_clock()
    work = read_recent_work(now)
    in_flight = read_in_flight(now, work.since)
    pools = _pool_lines(now, clocks, _live_workers(now), queues, in_flight)
    slots_by_pool = {clock.pool_id: pool.slots for clock, pool in zip(clocks, pools, strict=True)}
    return Overview(
        now=now,
        is_all_tenants=is_all_tenants,
        queues=_queue_lines(queues, now, in_flight, work),
        pools=pools if is_all_tenants else [],
        has_workers=any(pool.slots for pool in pools),
        is_dispatcher_silent=any(pool.is_dispatcher_silent for pool in pools),
        is_broker_away=any(pool.is_broker_away for pool in pools),
        work=work,
        fair_share=read_fair_share(
            queues=queues, slots_by_pool=slots_by_pool, in_flight=in_flight, ended_by_tenant=work.by_tenant
        ),
        dead_letters=count_dead_letters(since=now - DEAD_LETTER_AGE),
        stops=list_stops(),
        audit=list(AuditLogEntry.objects.select_related("tenant").order_by("-id")[:AUDIT_LIMIT]),
    )


def read_oldest_waits() -> Mapping[int, datetime]:
    """Since when the longest-waiting ready job of each queue might run."""
    return dict(_fetch(_OLDEST, {"tenant": require_scope().tenant_id}))


def count_dead_letters(*, since: datetime) -> CappedCount:
    """Dead letters since then that nobody has requeued, looking at no more than DEAD_LETTER_LIMIT."""
    letters = DeadLetter.objects.filter(id__gte=uuid7_floor(since), requeued_at__isnull=True)
    counted = letters.order_by().values("id")[: DEAD_LETTER_LIMIT + 1].count()
    return CappedCount(min(counted, DEAD_LETTER_LIMIT), counted > DEAD_LETTER_LIMIT)


def _live_workers(now: datetime) -> list[Worker]:
    """Workers whose slots count: online and heard of within a lease."""
    heard_since = now - timedelta(seconds=lease_seconds())
    return list(Worker.objects.filter(status=Worker.Status.ONLINE, heartbeat_at__gt=heard_since))


def _pool_lines(
    now: datetime,
    clocks: Sequence[PoolClock],
    workers: Sequence[Worker],
    queues: Sequence[Queue],
    in_flight: Sequence[InFlight],
) -> list[PoolLine]:
    pool_of = {queue.id: queue.pool_id for queue in queues}
    lines = []
    for clock in clocks:
        own = [worker for worker in workers if worker.pool_id == clock.pool_id]
        busy = round(sum(row.slots for row in in_flight if pool_of.get(row.queue_id) == clock.pool_id))
        ticked = None if clock.ticked_at is None else (now - clock.ticked_at).total_seconds()
        slots = sum(worker.slots for worker in own)
        lines.append(PoolLine(clock.pool.name, own, slots, busy, ticked, is_recent(clock.broker_away_at, now)))
    return lines


def _queue_lines(
    queues: Sequence[Queue], now: datetime, in_flight: Sequence[InFlight], work: RecentWork
) -> list[QueueLine]:
    tenant = {"tenant": require_scope().tenant_id}
    waiting = dict(
        SchedulingEntity.objects.order_by().values_list("queue_id").annotate(waiting=Sum("waiting"))  # one row a queue
    )
    oldest = read_oldest_waits()
    back_offs = {
        queue_id: BackOffs(*numbers) for queue_id, *numbers in _fetch(_BACK_OFFS, tenant | {"limit": BACK_OFF_LIMIT})
    }
    ended = work.by_queue
    return [
        QueueLine(
            queue=queue,
            waiting=max(0, waiting.get(queue.id, 0)),
            oldest_seconds=(now - oldest[queue.id]).total_seconds() if queue.id in oldest else None,
            dispatched=sum(row.dispatched for row in in_flight if row.queue_id == queue.id),
            executing=sum(row.executing for row in in_flight if row.queue_id == queue.id),
            slots=sum(row.slots for row in in_flight if row.queue_id == queue.id),
            ended=ended.get(queue.id, Ended()),
            per_minute=ended[queue.id].completed / work.minutes if queue.id in ended else 0.0,
            back_offs=back_offs.get(queue.id, BackOffs()),
        )
        for queue in queues
    ]


def _fetch(statement: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    require_scope()  # raw SQL passes the first wall by, so it is asked here
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
