"""Concurrency keys: of a tenant's jobs of one kind and key, at most the kind's ``concurrency_limit`` are in flight.

A claim counts its jobs in the key's row, under the row's lock and within the limit. The statement that ends an
execution appends a row of news; the next tick of any pool subtracts it. Jobs that may not start wait in ``job_held``
under the gate ``cap``, outside the order of ready jobs, so that they hide no other job and no tick reads them again and
again. Every change that may let one of them start appends news, in the transaction of that change: an end, a job that
leaves the ready ones unclaimed, a job that a tick has just set aside. So no free place is missed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import namedtuple_row

from scheduling.fairness.shares import Pick
from scheduling.kit import registry
from tenants.database.prepared import execute, fetch_all, prepared_cursor
from tenants.database.sql import load_sql

# The most news that a tick consumes, the most jobs of a key and queue that it admits, and the most ready jobs of a key
# that it counts: above that number it admits too many, which are set aside again.
NEWS_ROWS = 500
ADMITTED_JOBS = 100
READY_ROWS = 1_000

_SQL = load_sql(__file__)
_ADMIT, _FORGET_IDLE = _SQL["admit_jobs"], _SQL["forget_idle"]
_RESERVE, _APPEND_NEWS = _SQL["reserve_keys"], _SQL["append_news"]


class JobKey(NamedTuple):
    """A concurrency key of a tenant and kind."""

    tenant_id: UUID
    kind: str
    concurrency_key: str


@dataclass(frozen=True, slots=True)
class KeysReading:
    """The concurrency keys of the ready jobs that a tick has read.

    ``room`` is how many more jobs of a key may start. ``over`` are the jobs beyond it, and ``crowded`` the fair-share
    nodes with jobs of these keys.
    """

    by_job: Mapping[UUID | None, JobKey]
    room: Mapping[JobKey, int]
    over: Collection[UUID]
    crowded: Collection[int]


NO_KEYS = KeysReading({}, {}, (), ())


def key_limit_parameters() -> str:
    """Return the concurrency limits of kinds that are not the usual one, as JSON: {kind: limit}."""
    return json.dumps(registry.concurrency_limits())


def read_keys_of(rows: Iterable[Any]) -> KeysReading:
    """Return the keys of ready jobs that have one; of each key and queue, the first jobs by rank have the room."""
    keyed = sorted(rows, key=lambda row: (row.rank, row.job_id))
    by_job: dict[UUID | None, JobKey] = {}
    room: dict[JobKey, int] = {}
    seen: Counter[tuple[JobKey, int]] = Counter()
    over: set[UUID] = set()
    for row in keyed:
        key = by_job[row.job_id] = JobKey(row.tenant_id, row.kind, row.concurrency_key)
        room[key] = registry.concurrency_limit(row.kind) - row.key_in_flight
        seen[key, row.queue_id] += 1
        if seen[key, row.queue_id] > room[key]:
            over.add(row.job_id)
    full = {by_job[job_id] for job_id in over}
    crowded = {row.entity_id for row in keyed if by_job[row.job_id] in full}
    return KeysReading(by_job, room, over, crowded)


def admit_jobs(pool_id: int) -> bool:
    """Count ended jobs of concurrency keys, and make jobs ready that wait for these keys.

    Return whether any of them belong to other pools.
    """
    values: dict[str, Any] = {
        "pool_id": pool_id,
        "news": NEWS_ROWS,
        "ready": READY_ROWS,
        "admitted": ADMITTED_JOBS,
        "key_limits": key_limit_parameters(),
    }
    with prepared_cursor(namedtuple_row) as cursor:
        cursor.execute(_ADMIT, values)
        rows = cursor.fetchall()
        # In a separate statement, which sees the numbers that the first one wrote.
        if idle := [JobKey(row.tenant_id, row.kind, row.concurrency_key) for row in rows if row.is_idle]:
            cursor.execute(_FORGET_IDLE, _columns(idle))
    return any(row.wakes_others for row in rows)


def reserve_keys(keys: KeysReading, picks: Sequence[Pick]) -> Sequence[Pick]:
    """Count the picked jobs under their keys, and return the picks without those that exceed a key's limit.

    A key whose row another tick has locked counts as one without room.
    """
    wanted: Counter[JobKey] = Counter()
    fitting: list[Pick] = []
    for pick in picks:
        key = keys.by_job.get(pick.job.job_id)
        # Two queues of the pool may each have the next job of the key.
        if key is None or wanted[key] < keys.room[key]:
            fitting.append(pick)
            wanted.update([key] if key else [])
    if not wanted:
        return fitting
    limits = [registry.concurrency_limit(key.kind) for key in wanted]
    values = {**_columns(list(wanted)), "counts": list(wanted.values()), "limits": limits}
    granted = {None, *(JobKey(*row) for row in fetch_all(_RESERVE, values))}
    return [pick for pick in fitting if keys.by_job.get(pick.job.job_id) in granted]


def return_keys(keys: KeysReading, reserved: Iterable[Pick], kept: Iterable[Pick]) -> None:
    """Report the reserved jobs that were not claimed as no longer in flight."""
    lost = _count(keys, reserved) - _count(keys, kept)
    if lost:
        execute(_APPEND_NEWS, {**_columns(list(lost)), "counts": list(lost.values())})


def _count(keys: KeysReading, picks: Iterable[Pick]) -> Counter[JobKey]:
    return Counter(key for pick in picks if (key := keys.by_job.get(pick.job.job_id)) is not None)


def _columns(keys: Sequence[JobKey]) -> dict[str, list[Any]]:
    return {
        "tenant_ids": [key.tenant_id for key in keys],
        "kinds": [key.kind for key in keys],
        "keys": [key.concurrency_key for key in keys],
    }
