"""What happened to jobs, page by page in the order of ids, of transactions that are all over.

Nothing is added any more to what transactions between two horizons wrote, whatever the ids are: so a page may go on
after an id, along the key, and no look walks more than so many rows.
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

# Events that a page walks, of all tenants, and that it tells of.
WALKED = 20_000
TOLD = 200
# And of one of several tenants.
TOLD_OF_EACH = 100
_PAGE = load_sql(__file__)["read_page"]


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """A job has ended or is tried again, with what is told of it; its error is that of the attempt."""

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
    """Some events, how many were walked for them, and from where the next page goes on; None where there is none.

    ``cut`` has the tenants of which there was more than a page takes of one, each with the last event that it took.
    """

    events: Sequence[ToldEvent]
    walked: int
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
    """The next events from an id on that transactions from ``settled`` to before ``until`` wrote; by one statement.

    Of these tenants' jobs of other kinds, each where its job has come into one of the states; where there are several
    tenants, so that none fills the page alone, those among the first TOLD_OF_EACH of each.
    """
    values: dict[str, Any] = {
        "settled": settled,
        "until": until,
        "first": first,
        "tenants": list(tenant_ids),
        "states": list(states),
        "kinds": list(without_kinds),
        "walked": WALKED,
        "told": TOLD,
        "of_each": TOLD_OF_EACH if len(tenant_ids) > 1 else WALKED,
    }
    with planned_cursor(dict_row) as cursor:
        cursor.execute(_PAGE, values)
        rows = cursor.fetchall()
    names = [field.name for field in fields(ToldEvent)]
    events = [ToldEvent(**{name: row[name] for name in names}) for row in rows if row["id"] is not None]
    page = rows[0]  # each row has the numbers of the page
    last_id = events[-1].id if len(events) == TOLD else page["last_walked"] if page["walked"] == WALKED else None
    return EventPage(events, page["walked"], last_id, dict(page["cut"] or ()))
