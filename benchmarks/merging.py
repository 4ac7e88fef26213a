"""No-op jobs a second in messages of many against one a message, in one run, with few and with many active tenants."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from django.db import connection

from benchmarks.outcome import Outcome
from jobsplatform.demo.processes import Platform, running_platform
from tenants.context import all_tenants
from tenants.ids import uuid7
from tenants.models import Plan, Tenant

QUEUE = "workflow_professional"
TENANTS = (100, 10_000)
MERGED_JOBS = 20_000
ALONE_JOBS = 2_000
WARM_UP_JOBS = 300
# At 10,000 tenants every one of them has a job; what a phase does not need is taken away after it.
WINDOW_SECONDS = 25.0
LOOK_SECONDS = 0.25
# Both ends of a phase, in which slots fill and run empty, are left out.
MIDDLE = (0.1, 0.9)
TARGET_PER_SECOND = 5_000

_JOBS = """
INSERT INTO scheduling_job (id, tenant_id, kind, queue_id, state, priority, rank, fair_key, tags, payload, payload_hash,
    attempt, crash_count, execution_count, max_retries, fence, progress_current, progress_total, progress_message,
    checkpoint, error_type, error_message, error_fingerprint, run_at, created_at)
SELECT uuidv7(), (%(tenants)s::uuid[])[1 + n %% cardinality(%(tenants)s::uuid[])], 'noop', %(queue)s, 'available', 0,
    (extract(epoch FROM now()) * 1000000)::bigint + n, '', '{}', '{}', sha256(n::text::bytea), 0, 0, 0, 3, 0, 0, 0, '',
    '{}', '', '', '', now(), now()
FROM generate_series(1, %(jobs)s) AS n
RETURNING id, tenant_id, rank
"""
_FILL = f"""
WITH made AS ({_JOBS}), entity AS (
    UPDATE scheduling_schedulingentity e SET is_runnable = true, waiting = m.jobs, head_rank = m.rank,
        estimate_us = %(estimate)s, vruntime = c.virtual_time
    FROM (SELECT tenant_id, count(*) AS jobs, min(rank) AS rank FROM made GROUP BY 1) m, scheduling_queue_clock c
    WHERE e.tenant_id = m.tenant_id AND e.queue_id = %(queue)s AND c.queue_id = e.queue_id
)
INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind, travels_alone)
SELECT m.tenant_id, e.id, m.rank, m.id, 'noop', %(alone)s
FROM made m JOIN scheduling_schedulingentity e ON e.tenant_id = m.tenant_id AND e.queue_id = %(queue)s
"""  # noqa: S608 - constants
_EMPTY = (
    "DELETE FROM scheduling_job_ready",
    "UPDATE scheduling_schedulingentity SET is_runnable = false, waiting = 0",
    "DELETE FROM scheduling_job WHERE state = 'available'",
)
_ENTITIES = """
WITH capacity AS (
    INSERT INTO scheduling_tenant_capacity (tenant_id, in_flight) SELECT unnest(%(tenants)s::uuid[]), 0
)
INSERT INTO scheduling_schedulingentity (tenant_id, queue_id, weight_milli, vruntime, is_runnable, in_flight, waiting,
    head_rank, estimate_us)
SELECT unnest(%(tenants)s::uuid[]), %(queue)s, 1000, 0, false, 0, 0, 0, 1000000
"""
_ENDED = """
SELECT count(*), percentile_disc(%(parts)s::float8[]) WITHIN GROUP (ORDER BY at),
    count(data ->> 'message'), count(DISTINCT data ->> 'message') FROM (
    SELECT e.at, s.data FROM scheduling_jobevent e JOIN scheduling_jobevent s
        ON s.job_id = e.job_id AND s.tenant_id = e.tenant_id AND s.name = 'execution.started'
    WHERE e.name = 'execution.completed' AND e.at >= %(since)s
) AS ended
"""


@dataclass(frozen=True, slots=True)
class Phase:
    """One measured drain: jobs that ended, how many of them travelled together in how many messages, jobs a second."""

    tenants: int
    is_merged: bool
    jobs: int
    together: int
    messages: int
    per_second: float

    def row(self) -> list[str]:
        alone = 1 - self.together / self.jobs
        return [
            f"{self.tenants:,}",
            "merged" if self.is_merged else "alone",
            f"{self.jobs:,}",
            f"{self.together / self.messages:.0f} ({alone:.0%} alone)" if self.messages else "1",
            f"{self.per_second:,.0f}",
        ]


def measure(folder: Path) -> Outcome:
    """Fill backlogs while the queue is paused, let it run, and count what ends; each pair of phases on one platform."""
    queue_id = _queue()
    phases: list[Phase] = []
    with running_platform(folder / "merging.log") as platform:
        for count in TENANTS:
            tenants = _create_tenants(count, queue_id)
            _run(platform, queue_id, tenants[:100], WARM_UP_JOBS, is_merged=False)
            for is_merged, jobs in ((True, MERGED_JOBS), (False, max(ALONE_JOBS, count))):
                phases.append(_run(platform, queue_id, tenants, jobs, is_merged=is_merged))
    return _conclude(phases)


def _queue() -> int:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("SELECT id FROM scheduling_queue WHERE name = %s", [QUEUE])
        return int(cursor.fetchone()[0])


def _create_tenants(count: int, queue_id: int) -> list[UUID]:
    """Tenants without people and keys: rows are all that the dispatcher asks for."""
    plan, run = Plan.objects.get(slug="professional"), uuid7().hex[-8:]
    with all_tenants():
        made = Tenant.objects.bulk_create(
            [Tenant(slug=f"merge-{run}-{number}", name=f"Merge {number}", plan=plan) for number in range(count)],
            batch_size=1_000,
        )
        ids = [tenant.pk for tenant in made]
        with connection.cursor() as cursor:
            cursor.execute(_ENTITIES, {"tenants": ids, "queue": queue_id})
    return ids


def _run(platform: Platform, queue_id: int, tenants: Sequence[UUID], jobs: int, *, is_merged: bool) -> Phase:
    """Drain a backlog, or as much of it as the window allows."""
    _pause(queue_id, is_paused=True)
    _execute(_FILL, tenants=list(tenants), queue=queue_id, jobs=jobs, alone=not is_merged, estimate=1_000)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("ANALYZE scheduling_job_ready")
        cursor.execute("SELECT clock_timestamp()")
        (since,) = cursor.fetchone()
    _pause(queue_id, is_paused=False)
    deadline = time.monotonic() + WINDOW_SECONDS
    while _count("scheduling_job_ready") and time.monotonic() < deadline:
        platform.require_alive()
        time.sleep(LOOK_SECONDS)
    _pause(queue_id, is_paused=True)
    while _count("scheduling_execution_live"):
        platform.require_alive()
        time.sleep(LOOK_SECONDS)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(_ENDED, {"since": since, "parts": list(MIDDLE)})
        ended, (begin, end), together, messages = cursor.fetchone()
    for statement in _EMPTY:
        _execute(statement)
    seconds = max((end - begin).total_seconds(), 0.001)
    return Phase(len(tenants), is_merged, ended, together, messages, ended * (MIDDLE[1] - MIDDLE[0]) / seconds)


def _pause(queue_id: int, *, is_paused: bool) -> None:
    _execute(
        "UPDATE scheduling_queue SET is_paused = %(paused)s WHERE id = %(queue)s", paused=is_paused, queue=queue_id
    )


def _count(table: str) -> int:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - a constant
        return int(cursor.fetchone()[0])


def _execute(statement: str, **parameters: object) -> None:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', '0', true)")
        cursor.execute(statement, parameters or None)


def _conclude(phases: Sequence[Phase]) -> Outcome:
    rows = [["active tenants", "jobs travel", "jobs", "in a message", "jobs a second", "ratio"]]
    for merged, alone in zip(phases[::2], phases[1::2], strict=True):
        rows += [[*merged.row(), f"{merged.per_second / alone.per_second:.1f}"], [*alone.row(), "1"]]
    slowest = min(phase.per_second for phase in phases if phase.is_merged)
    return Outcome(
        name="merging",
        title="Merging: no-op jobs a second",
        rows=rows,
        target=f"merged at least {TARGET_PER_SECOND:,} a second, with few and with many tenants",
        is_met=slowest >= TARGET_PER_SECOND,
        method=(
            "`noop` jobs with all their state kept (events, ledger, executions, tallies), dispatched, executed and "
            "settled by the platform's own processes (web, dispatcher, worker, beat) beside PostgreSQL and Valkey on "
            "this machine. A backlog is filled while its queue is paused; counted is the middle of its drain by the "
            "times of the completion events, without the first and last tenth. “Alone” are the same jobs marked as "
            "such, in the same run."
        ),
    )
