"""The proof that the dispatcher's counters equal what they count. It reports and repairs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from tenants.context import all_tenants
from tenants.selectors.tenant_pages import IN_PAGE, TenantPage, read_pages
from tenants.sentences import Sentence

MAX_DIFFERENCES = 50
_ENTITIES = f"(SELECT * FROM scheduling_schedulingentity WHERE {IN_PAGE}) AS e"  # noqa: S608 - constants
_PARTS = {
    "in_page": IN_PAGE,
    "entities": _ENTITIES,
    # By the index of the ready, of which there are most.
    "of_entities": f"entity_id IN (SELECT id FROM {_ENTITIES})",  # noqa: S608 - constants
}
# Each statement is one snapshot of a page of tenants, with the news that no tick has folded yet: a message is in
# flight until a tick has read that its last execution ended. What waits is counted where it waits, in the small
# tables, so that ended jobs cost nothing.
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
    "ready rows without an available job": """
        SELECT r.tenant_id, 'job ' || r.job_id, 1, 0 FROM (SELECT * FROM scheduling_job_ready WHERE {in_page}) AS r
        WHERE NOT EXISTS (
            SELECT FROM scheduling_job j
            WHERE j.id = r.job_id AND j.tenant_id = r.tenant_id AND j.state = 'available'
        ) LIMIT %(limit)s
    """,
}
COUNTER_NAMES = tuple(_RECOUNTS)
# What a statement says of a row before its id.
ROW_WORDS = {"entity": "entity %(id)s", "tenant": "tenant %(id)s", "job": "job %(id)s"}


@dataclass(frozen=True, slots=True)
class CounterDifference:
    """A counter of a tenant that is not what it counts."""

    counter: str
    tenant_id: UUID
    row: str
    counted: int
    recounted: int

    @property
    def sentence(self) -> Sentence:
        noun, _, row_id = self.row.partition(" ")
        values = {
            "counter": Sentence(self.counter),
            "row": Sentence(ROW_WORDS[noun], {"id": row_id}),
            "counted": self.counted,
            "recounted": self.recounted,
        }
        return Sentence("%(counter)s of %(row)s: %(counted)s, recounted %(recounted)s.", values)

    def __str__(self) -> str:
        return str(self.sentence)


def verify_counters() -> list[CounterDifference]:
    """Recount what waits and what is in flight; what differs."""
    return [difference for page in read_pages() for difference in verify_counters_page(page)]


def verify_counters_page(page: TenantPage) -> list[CounterDifference]:
    """The same for a page of tenants, at most MAX_DIFFERENCES of each counter."""
    differences = []
    with all_tenants(), connection.cursor() as cursor:
        for counter, statement in _RECOUNTS.items():
            cursor.execute(statement.format(**_PARTS), {**page.parameters(), "limit": MAX_DIFFERENCES})
            differences += [CounterDifference(counter, *row) for row in cursor.fetchall()]
    return differences
