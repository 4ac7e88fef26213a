"""Counters of the dispatcher against a recount of what they count, and their rewriting."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext_noop

from scheduling.models import WorkerPool
from scheduling.services.consistency.registry import Fault, FaultKind, Look, Piece, RepairOrder, StateCheck
from scheduling.services.consistency.walk import look_at_page
from scheduling.services.dispatching.tick import stop_ticks
from scheduling.services.wakes import wake_tenants
from tenants.context import all_tenants
from tenants.selectors.tenant_pages import IN_PAGE, TenantPage
from tenants.translation import LocalizableText

MAX_DIFFERENCES = 50
_RECOUNT = "Writes what is recounted, while no dispatcher ticks, and has the next tick look at the tenant anew."
KINDS: Mapping[str, FaultKind] = {
    gettext_noop("waiting jobs"): FaultKind(
        "waiting_counter", gettext_noop("A line counts other than its waiting jobs."), _RECOUNT
    ),
    gettext_noop("in flight by queue"): FaultKind(
        "in_flight_counter", gettext_noop("A line of a queue counts other than what it has in flight."), _RECOUNT
    ),
    gettext_noop("waiting jobs of the keys"): FaultKind(
        "keys_waiting_counter", gettext_noop("A tenant's line sums other than the waiting jobs of its keys."), _RECOUNT
    ),
    gettext_noop("in flight of the keys"): FaultKind(
        "keys_in_flight_counter",
        gettext_noop("A tenant's line sums other than what its keys have in flight."),
        _RECOUNT,
    ),
    gettext_noop("in flight by tenant"): FaultKind(
        "capacity_counter", gettext_noop("A tenant's capacity counts other than what it has in flight."), _RECOUNT
    ),
    gettext_noop("capacities"): FaultKind(
        "capacity_missing", gettext_noop("A tenant has lines and no capacity, so nothing of it starts."), _RECOUNT
    ),
}
COUNTER_NAMES = tuple(KINDS)
# The row that a statement names, before its id.
ROW_WORDS = {"entity": gettext_noop("entity %(id)s"), "tenant": gettext_noop("tenant %(id)s")}
_ENTITIES = f"(SELECT * FROM scheduling_schedulingentity WHERE {IN_PAGE}) AS e"  # noqa: S608 - constants
_PARTS = {
    "in_page": IN_PAGE,
    "entities": _ENTITIES,
    # By the index of the ready, of which there are most.
    "of_entities": f"entity_id IN (SELECT id FROM {_ENTITIES})",  # noqa: S608 - constants
}
# Each statement is one snapshot of a page of tenants, with the wakes that no tick has folded yet: a message is in
# flight until a tick has read that its last execution ended. Waiting jobs are counted in the small tables of places,
# so that ended jobs cost nothing.
_RECOUNTS = {
    "waiting jobs": """
        WITH counted AS (
            SELECT entity_id, sum(jobs) AS jobs FROM (
                SELECT entity_id, count(*) AS jobs FROM scheduling_job_ready WHERE {of_entities} GROUP BY 1
                UNION ALL SELECT entity_id, count(*) FROM scheduling_job_due WHERE {of_entities} GROUP BY 1
                UNION ALL SELECT entity_id, count(*) FROM scheduling_job_held WHERE {of_entities} GROUP BY 1
            ) AS places GROUP BY 1
        ), news AS (
            SELECT entity_id, sum(waiting_delta) AS jobs FROM scheduling_wake WHERE {in_page} GROUP BY 1
        )
        SELECT e.tenant_id, 'entity ' || e.id, e.waiting + coalesce(n.jobs, 0), coalesce(c.jobs, 0)
        FROM {entities} LEFT JOIN news n ON n.entity_id = e.id LEFT JOIN counted c ON c.entity_id = e.id
        WHERE e.waiting + coalesce(n.jobs, 0) <> coalesce(c.jobs, 0) LIMIT %(limit)s
    """,
    "in flight by queue": """
        WITH counted AS (
            SELECT entity_id, count(DISTINCT message_id) AS messages FROM (
                SELECT entity_id, message_id FROM scheduling_execution_live WHERE {in_page}
                UNION ALL SELECT entity_id, message_id FROM scheduling_settled WHERE {in_page}
            ) AS executions GROUP BY 1
        )
        SELECT e.tenant_id, 'entity ' || e.id, e.in_flight, coalesce(c.messages, 0)
        FROM {entities} LEFT JOIN counted c ON c.entity_id = e.id
        WHERE e.in_flight <> coalesce(c.messages, 0) LIMIT %(limit)s
    """,
    # Each job counts in one line; a tenant's row sums those of its keys.
    "waiting jobs of the keys": """
        SELECT e.tenant_id, 'entity ' || e.id, e.keys_waiting, coalesce(sum(k.waiting), 0)
        FROM {entities} LEFT JOIN scheduling_schedulingentity k ON k.parent_id = e.id
        WHERE e.parent_id IS NULL GROUP BY e.tenant_id, e.id, e.keys_waiting
        HAVING e.keys_waiting <> coalesce(sum(k.waiting), 0) LIMIT %(limit)s
    """,
    "in flight of the keys": """
        SELECT e.tenant_id, 'entity ' || e.id, e.keys_in_flight, coalesce(sum(k.in_flight), 0)
        FROM {entities} LEFT JOIN scheduling_schedulingentity k ON k.parent_id = e.id
        WHERE e.parent_id IS NULL GROUP BY e.tenant_id, e.id, e.keys_in_flight
        HAVING e.keys_in_flight <> coalesce(sum(k.in_flight), 0) LIMIT %(limit)s
    """,
    "in flight by tenant": """
        WITH counted AS (
            SELECT tenant_id, count(DISTINCT message_id) AS messages FROM (
                SELECT tenant_id, message_id FROM scheduling_execution_live WHERE {in_page}
                UNION ALL SELECT tenant_id, message_id FROM scheduling_settled WHERE {in_page}
            ) AS executions GROUP BY 1
        )
        SELECT t.tenant_id, 'tenant ' || t.tenant_id, t.in_flight, coalesce(c.messages, 0)
        FROM (SELECT * FROM scheduling_tenant_capacity WHERE {in_page}) AS t LEFT JOIN counted c USING (tenant_id)
        WHERE t.in_flight <> coalesce(c.messages, 0) LIMIT %(limit)s
    """,
    # Without it nothing of the tenant can be claimed.
    "capacities": """
        SELECT DISTINCT e.tenant_id, 'tenant ' || e.tenant_id, 0, 1 FROM {entities}
        WHERE NOT EXISTS (SELECT FROM scheduling_tenant_capacity c WHERE c.tenant_id = e.tenant_id)
            AND e.tenant_id NOT IN (SELECT subject_id FROM tenants_tenanterasure WHERE status = 'running')
        LIMIT %(limit)s
    """,
}
# What no tick has folded yet is counted in the wakes, and a tick adds it when it folds them.
_LINES = """
WITH line AS (
    SELECT id FROM scheduling_schedulingentity WHERE tenant_id = %(tenant_id)s
), counted AS (
    SELECT entity_id, sum(jobs) AS jobs FROM (
        SELECT entity_id, count(*) AS jobs FROM scheduling_job_ready
            WHERE entity_id IN (SELECT id FROM line) GROUP BY 1
        UNION ALL SELECT entity_id, count(*) FROM scheduling_job_due
            WHERE entity_id IN (SELECT id FROM line) GROUP BY 1
        UNION ALL SELECT entity_id, count(*) FROM scheduling_job_held
            WHERE entity_id IN (SELECT id FROM line) GROUP BY 1
    ) AS places GROUP BY 1
), news AS (
    SELECT entity_id, sum(waiting_delta) AS jobs FROM scheduling_wake WHERE tenant_id = %(tenant_id)s GROUP BY 1
), flying AS (
    SELECT entity_id, count(DISTINCT message_id) AS messages FROM (
        SELECT entity_id, message_id FROM scheduling_execution_live WHERE tenant_id = %(tenant_id)s
        UNION ALL SELECT entity_id, message_id FROM scheduling_settled WHERE tenant_id = %(tenant_id)s
    ) AS executions GROUP BY 1
)
UPDATE scheduling_schedulingentity e
SET waiting = coalesce(c.jobs, 0) - coalesce(n.jobs, 0), in_flight = coalesce(f.messages, 0)
FROM line LEFT JOIN counted c ON c.entity_id = line.id LEFT JOIN news n ON n.entity_id = line.id
    LEFT JOIN flying f ON f.entity_id = line.id
WHERE e.id = line.id
"""
_KEYS = """
UPDATE scheduling_schedulingentity e
SET keys_waiting = coalesce(k.waiting, 0), keys_in_flight = coalesce(k.in_flight, 0)
FROM scheduling_schedulingentity o LEFT JOIN (
    SELECT parent_id, sum(waiting) AS waiting, sum(in_flight) AS in_flight FROM scheduling_schedulingentity
    WHERE tenant_id = %(tenant_id)s AND parent_id IS NOT NULL GROUP BY 1
) k ON k.parent_id = o.id
WHERE e.id = o.id AND o.tenant_id = %(tenant_id)s AND o.parent_id IS NULL
"""
_CAPACITY = """
INSERT INTO scheduling_tenant_capacity (tenant_id, in_flight)
SELECT %(tenant_id)s, count(DISTINCT message_id) FROM (
    SELECT message_id FROM scheduling_execution_live WHERE tenant_id = %(tenant_id)s
    UNION ALL SELECT message_id FROM scheduling_settled WHERE tenant_id = %(tenant_id)s
) AS executions
ON CONFLICT (tenant_id) DO UPDATE SET in_flight = excluded.in_flight
"""


def look(piece: Piece) -> Look:
    """Recount waiting jobs and messages in flight; at most MAX_DIFFERENCES faults of each counter and page."""
    return look_at_page(piece, _find_differences)


def repair(order: RepairOrder) -> None:
    """Rewrite all counters of the tenant, and wake it.

    Only ticks write them, so ticks wait until this is committed; each statement then sees the result of the last one.
    """
    assert order.tenant_id is not None  # every counter has one
    pools = list(WorkerPool.objects.order_by("pk").values_list("pk", flat=True))
    stop_ticks(pools)
    with connection.cursor() as cursor:
        for statement in (_LINES, _KEYS, _CAPACITY):
            cursor.execute(statement, {"tenant_id": order.tenant_id})
    wake_tenants(tenant_ids=[order.tenant_id])


def fault_of(counter: str, tenant_id: UUID, row: str, counted: int, recounted: int) -> Fault:
    """Return the fault of a counter that differs; ``row`` is a noun of ROW_WORDS and an id."""
    noun, _, row_id = row.partition(" ")
    values = {
        "counter": LocalizableText(counter),
        "row": LocalizableText(ROW_WORDS[noun], {"id": row_id}),
        "counted": counted,
        "recounted": recounted,
    }
    detail = LocalizableText("%(counter)s of %(row)s: %(counted)s, recounted %(recounted)s.", values)
    return Fault(KINDS[counter].code, tenant_id, row, detail)


def _find_differences(page: TenantPage) -> list[Fault]:
    faults: list[Fault] = []
    with all_tenants(), connection.cursor() as cursor:
        for counter, statement in _RECOUNTS.items():
            cursor.execute(statement.format(**_PARTS), {**page.parameters(), "limit": MAX_DIFFERENCES})
            faults += [fault_of(counter, *row) for row in cursor.fetchall()]
    return faults


CHECKS = (
    StateCheck(
        "counters",
        tuple(KINDS.values()),
        look,
        repair,
        interval=timedelta(hours=1),
        title=gettext_noop("Counters"),
        text=gettext_noop("Recounts what waits and what is in flight."),
    ),
)
