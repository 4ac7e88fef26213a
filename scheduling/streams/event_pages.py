"""Pages of job events in the order of ids, of transactions that have all ended.

Transactions between two horizons write no more, so a page can continue after an id along the key, and each read scans a
bounded number of rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from tenants.database.prepared import planned_cursor
from tenants.database.sql import load_sql

# Events of all tenants that a page scans, and that it returns.
MAX_SCANNED = 20_000
MAX_RETURNED = 200
# Events that it returns of each of several tenants.
MAX_PER_TENANT = 100
_PAGE = load_sql(__file__)["read_page"]


@dataclass(frozen=True, slots=True)
class PublishedEvent:
    """End or retry of a job, with the facts for subscribers; its error is that of the attempt."""

    id: UUID
    tenant_id: UUID
    job_id: UUID
    at: datetime
    state: str
    kind: str
    queue: str
    tags: Sequence[str]
    fair_key: str
    key: str | None
    batch_id: UUID | None
    parent_id: UUID | None
    priority: int
    attempt: int
    error_type: str
    error_message: str


@dataclass(frozen=True, slots=True)
class EventPage:
    """Page of events, the number of scanned rows, and the id after which the next page continues, or None.

    ``cut`` maps each tenant with more events than a page takes to the last event taken.
    """

    events: Sequence[PublishedEvent]
    scanned: int
    last_id: UUID | None
    cut: Mapping[UUID, UUID]


def read_page(
    *,
    settled: int,
    until: int,
    first: UUID,
    tenant_ids: Collection[UUID],
    states: Collection[str],
    without_kinds: Collection[str],
) -> EventPage:
    """Return the next events from an id on that transactions from ``settled`` to before ``until`` wrote.

    They are events of these tenants' jobs of other kinds that enter one of the states. With several tenants at most the
    first MAX_PER_TENANT of each are returned, so that none fills the page alone.
    """
    values: dict[str, Any] = {
        "settled": settled,
        "until": until,
        "first": first,
        "tenants": list(tenant_ids),
        "states": list(states),
        "kinds": list(without_kinds),
        "scanned": MAX_SCANNED,
        "limit": MAX_RETURNED,
        "per_tenant": MAX_PER_TENANT if len(tenant_ids) > 1 else MAX_SCANNED,
    }
    with planned_cursor(dict_row) as cursor:
        cursor.execute(_PAGE, values)
        rows = cursor.fetchall()
    names = [field.name for field in fields(PublishedEvent)]
    events = [PublishedEvent(**{name: row[name] for name in names}) for row in rows if row["id"] is not None]
    page = rows[0]  # each row has the numbers of the page
    last_id = (
        events[-1].id
        if len(events) == MAX_RETURNED
        else page["last_scanned"]
        if page["scanned"] == MAX_SCANNED
        else None
    )
    return EventPage(events, page["scanned"], last_id, dict(page["cut"] or ()))
