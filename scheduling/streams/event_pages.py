"""Pages of job events in the order of their ids, for transactions that have all ended.

Transactions between two horizons write no more events, so a page can continue after the last id of the page before, and
each query scans a bounded number of rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from tenants.encryption.error_texts import open_error, preload_error_keys

# Events of all tenants that a page scans, and that it returns.
MAX_SCANNED = 20_000
MAX_RETURNED = 200
# Events that it returns of each of several tenants.
MAX_PER_TENANT = 100
_PAGE = load_sql(__file__)["read_page"]


@dataclass(frozen=True, slots=True)
class PublishedEvent:
    """Event that a job ended or will be retried, with the facts for subscribers; the error is that of the attempt."""

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
    failed_attempts: int
    has_started: bool
    error_type: str
    error_message: str


@dataclass(frozen=True, slots=True)
class EventPage:
    """Page of events, for which ``walked`` rows were scanned.

    ``last_id`` is the id after which the next page begins, or None. ``cut`` maps each tenant whose further events were
    left out to the id of its last event on the page.
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
    """Return the events of these tenants' jobs that entered one of ``states``, from the id ``first`` on.

    Only transactions from ``settled`` to below ``until`` are read, and jobs of ``without_kinds`` are left out. With
    several tenants, at most MAX_PER_TENANT events of each are returned, so that no tenant fills the page alone.
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
    rows = fetch_all(_PAGE, values, dict_row, is_planned=True)
    names = [field.name for field in fields(PublishedEvent)]
    found = [row for row in rows if row["id"] is not None]
    preload_error_keys((row["tenant_id"], row["error_message"]) for row in found)
    for row in found:
        row["error_message"] = open_error(row["error_message"], tenant_id=row["tenant_id"], owner_id=row["job_id"])
    events = [PublishedEvent(**{name: row[name] for name in names}) for row in found]
    page = rows[0]  # each row has the numbers of the page
    last_id = (
        events[-1].id
        if len(events) == MAX_RETURNED
        else page["last_scanned"]
        if page["scanned"] == MAX_SCANNED
        else None
    )
    return EventPage(events, page["scanned"], last_id, dict(page["cut"] or ()))
