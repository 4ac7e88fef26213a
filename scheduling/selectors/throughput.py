"""What ended lately: executions of a bounded window, read once and folded by queue, tenant and time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from scheduling.models import Execution
from tenants.context import require_scope
from tenants.ids import uuid7_floor

WINDOW = timedelta(minutes=10)
BUCKET_SECONDS = 20
BUCKETS = int(WINDOW.total_seconds()) // BUCKET_SECONDS
# An execution's id is as old as its dispatch, so the range of ids begins earlier than the window by the longest
# time that one may run: Celery's hard limit.
LONGEST_EXECUTION = timedelta(minutes=61)
# At most this many of the newest executions are looked at; beyond it the window shrinks and the page says so.
ROW_LIMIT = 20_000

_O = Execution.Outcome
COMPLETED = (_O.COMPLETED.value,)
FAILED = (_O.FAILED.value, _O.TIMED_OUT.value, _O.CRASHED.value, _O.EXPIRED.value)

_RECENT = """
WITH newest AS MATERIALIZED (
    SELECT tenant_id, queue_id, outcome, dispatched_at, started_at, ended_at FROM scheduling_execution
    WHERE id >= %(floor)s AND (%(tenant)s::uuid IS NULL OR tenant_id = %(tenant)s) ORDER BY id DESC LIMIT %(limit)s
), reach AS (
    SELECT CASE WHEN count(*) < %(limit)s THEN %(since)s ELSE greatest(%(since)s, min(dispatched_at)) END AS since
    FROM newest
)
SELECT grouping(queue_id), queue_id, tenant_id, bucket, since,
    count(*) FILTER (WHERE outcome = ANY(%(completed)s)), count(*) FILTER (WHERE outcome = ANY(%(failed)s)),
    coalesce(sum(extract(epoch FROM ended_at - greatest(started_at, since))), 0)::float8
FROM (
    SELECT n.*, since, floor(extract(epoch FROM %(now)s - ended_at) / %(bucket_seconds)s)::int AS bucket
    FROM newest n, reach WHERE ended_at >= since AND ended_at <= %(now)s
) AS ended
GROUP BY GROUPING SETS ((queue_id, tenant_id, since), (bucket, since))
"""


@dataclass(slots=True)
class Ended:
    """Ended executions: completed, failed by themselves, and the slot time of all in seconds."""

    completed: int = 0
    failed: int = 0
    busy_seconds: float = 0.0

    def add(self, other: Ended) -> None:
        self.completed += other.completed
        self.failed += other.failed
        self.busy_seconds += other.busy_seconds

    @property
    def failure_rate(self) -> float | None:
        """Failed ones among those that ended one way or the other; None without any."""
        ended = self.completed + self.failed
        return self.failed / ended if ended else None


@dataclass(frozen=True, slots=True)
class RecentWork:
    """Executions that ended since ``since``; ``buckets`` run from the oldest to the newest."""

    now: datetime
    since: datetime
    is_cut: bool
    by_share: dict[tuple[int, UUID], Ended] = field(default_factory=dict)
    buckets: list[Ended] = field(default_factory=list)

    @property
    def minutes(self) -> float:
        return max((self.now - self.since).total_seconds(), 1.0) / 60

    @property
    def total(self) -> Ended:
        return _sum(self.by_share.values())

    def by_queue(self) -> dict[int, Ended]:
        folded: dict[int, Ended] = defaultdict(Ended)
        for (queue_id, _), ended in self.by_share.items():
            folded[queue_id].add(ended)
        return dict(folded)

    def by_tenant(self) -> dict[UUID, Ended]:
        folded: dict[UUID, Ended] = defaultdict(Ended)
        for (_, tenant_id), ended in self.by_share.items():
            folded[tenant_id].add(ended)
        return dict(folded)


def read_recent_work(now: datetime) -> RecentWork:
    """One statement over at most ROW_LIMIT executions of the scope of the moment."""
    scope = require_scope()
    since = now - WINDOW
    parameters: dict[str, Any] = {
        "now": now,
        "since": since,
        "floor": uuid7_floor(since - LONGEST_EXECUTION),
        "tenant": scope.tenant_id,
        "limit": ROW_LIMIT,
        "bucket_seconds": BUCKET_SECONDS,
        "completed": list(COMPLETED),
        "failed": list(FAILED),
    }
    with connection.cursor() as cursor:
        cursor.execute(_RECENT, parameters)
        return _read_groups(cursor, now, since)


def _read_groups(rows: Iterable[tuple[Any, ...]], now: datetime, since: datetime) -> RecentWork:
    by_share: dict[tuple[int, UUID], Ended] = {}
    buckets = [Ended() for _ in range(BUCKETS)]
    reach = since
    for is_bucket, queue_id, tenant_id, bucket, reached, *numbers in rows:
        reach = reached
        if not is_bucket:
            by_share[queue_id, tenant_id] = Ended(*numbers)
        elif bucket < BUCKETS:
            buckets[BUCKETS - 1 - bucket].add(Ended(*numbers))
    return RecentWork(now, reach, reach > since, by_share, buckets)


def _sum(parts: Iterable[Ended]) -> Ended:
    whole = Ended()
    for part in parts:
        whole.add(part)
    return whole
