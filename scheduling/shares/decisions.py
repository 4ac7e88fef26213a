"""A tenant's last dispatches, with the virtual times that decided them.

They are found from executions, which have an index by tenant; a search of the tenant's events would read all other
events of its jobs too. The dispatch event of each execution is then read from the partitions of its time only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from scheduling.fairness.nodes import UNITS_PER_MICROSECOND
from scheduling.models import Job, Queue
from scheduling.shares.raw import fetch_rows
from tenants.context import require_scope
from tenants.database.ids import uuid7_floor
from tenants.database.sql import load_sql

SHOWN = 50
# The executions read to find those of the requested queues.
LOOKED_AT = 500
# The same process creates an event's id right after its execution's.
EVENT_SLACK = timedelta(minutes=1)

_SQL = load_sql(__file__)
_EXECUTIONS, _EVENTS = _SQL["find_executions"], _SQL["find_events"]


@dataclass(frozen=True, slots=True)
class DecisionFacts:
    """Virtual times and counts that decided one dispatch; None if they were not recorded.

    ``level`` is the level of the tree that decided: ``queue``, ``tenant``, ``key``, or empty if there was no
    alternative. ``runner_up_us`` is how much later the next tenant of the queue was in virtual time, in microseconds of
    slot time at weight 1; the fields for the queue and the key are similar. For a tenant itself only its counts are
    set, because the rest shows whether others compete.
    """

    level: str = ""
    reason: str = ""
    start_tag: int | None = None
    runner_up_us: int | None = None
    queue_start_tag: int | None = None
    queue_runner_up_us: int | None = None
    key_start_tag: int | None = None
    key_runner_up_us: int | None = None
    in_flight: int | None = None
    waiting: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """One dispatch of a job.

    ``waited`` is set for the job's first dispatch; ``has_job`` is False if the job was pruned.
    """

    execution_id: UUID
    job_id: UUID
    queue_id: int
    kind: str
    number: int
    state: str
    predicted_us: int
    measured_us: int | None
    dispatched_at: datetime
    waited: timedelta | None
    has_job: bool
    facts: DecisionFacts

    @property
    def waited_seconds(self) -> float | None:
        return None if self.waited is None else self.waited.total_seconds()


def read_decisions(tenant_id: UUID, *, queues: Sequence[Queue] | None = None) -> list[Decision]:
    """Return the tenant's last `SHOWN` dispatches, newest first, in three queries."""
    tells_of_others = require_scope().is_all_tenants
    rows = fetch_rows(
        _EXECUTIONS,
        {
            "tenant": tenant_id,
            "queues": None if queues is None else [queue.pk for queue in queues],
            "looked_at": LOOKED_AT,
            "shown": SHOWN,
        },
        row_factory=dict_row,
    )
    if not rows:
        return []
    run_at = dict(Job.objects.filter(pk__in={row["job_id"] for row in rows}).values_list("pk", "run_at"))
    facts = _read_facts(tenant_id, rows)
    return [
        Decision(
            **row,
            waited=row["dispatched_at"] - run_at[row["job_id"]]
            if row["number"] == 1 and row["job_id"] in run_at
            else None,
            has_job=row["job_id"] in run_at,
            facts=_facts(facts.get(row["execution_id"], {}), tells_of_others=tells_of_others),
        )
        for row in rows
    ]


def _read_facts(tenant_id: UUID, rows: Sequence[Mapping[str, Any]]) -> dict[UUID, Mapping[str, Any]]:
    moments = [row["dispatched_at"] for row in rows]
    parameters = {
        "tenant": tenant_id,
        "jobs": list({row["job_id"] for row in rows}),
        "executions": [row["execution_id"] for row in rows],
        "since": uuid7_floor(min(moments) - EVENT_SLACK),
        "until": uuid7_floor(max(moments) + EVENT_SLACK),
    }
    return {row.execution_id: json.loads(row.data) for row in fetch_rows(_EVENTS, parameters)}


def _facts(data: Mapping[str, Any], *, tells_of_others: bool) -> DecisionFacts:
    in_flight, waiting = data.get("in_flight"), data.get("waiting")
    if not tells_of_others:
        return DecisionFacts(in_flight=in_flight, waiting=waiting)
    start_tag, queue_tag, key_tag = data.get("start_tag"), data.get("queue_vruntime"), data.get("key_start_tag")
    return DecisionFacts(
        level=str(data.get("level") or ""),
        reason=str(data.get("reason") or ""),
        start_tag=start_tag,
        runner_up_us=_later_us(start_tag, data.get("runner_up_start_tag")),
        queue_start_tag=queue_tag,
        queue_runner_up_us=_later_us(queue_tag, data.get("queue_runner_up_start_tag")),
        key_start_tag=key_tag,
        key_runner_up_us=_later_us(key_tag, data.get("key_runner_up_start_tag")),
        in_flight=in_flight,
        waiting=waiting,
    )


def _later_us(tag: int | None, runner_up: int | None) -> int | None:
    return None if tag is None or runner_up is None else (runner_up - tag) // UNITS_PER_MICROSECOND
