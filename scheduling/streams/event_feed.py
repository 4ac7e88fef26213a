"""Queries of job events in an order in which no event can later appear before one that was already read.

Ids are created before their rows are committed, so a smaller id may appear after a greater one was read. A feed is
therefore ordered by the transaction that wrote the event, and then by id. The transaction's number is the row's `xmin`;
below the number of the oldest open transaction, no event can be added. Savepoints have their own numbers, greater than
that of their transaction, and are open as long as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID

from psycopg.rows import class_row, dict_row

from scheduling.jobs.history import OUTPUT_EVENT, readable_output
from scheduling.models import JobEvent
from tenants.database.ids import uuid7_floor
from tenants.database.prepared import fetch_all, fetch_one
from tenants.database.sql import load_sql
from tenants.encryption.fields import sealed_field

FEED_PAGE = 500
_NOTHING = UUID(int=0)
_POSITION = re.compile(r"([0-9]{1,18})-([0-9a-f]{32})", re.ASCII)
_DATA: Any = sealed_field(JobEvent, "data")
_SQL = load_sql(__file__)
_HORIZON, _FEED_OF_ALL, _FEED_OF_JOB = _SQL["read_horizon"], _SQL["read_feed"], _SQL["read_feed_of_job"]


class PositionInvalidError(ValueError):
    """The text is not a position in a feed."""


@dataclass(frozen=True, slots=True, order=True)
class FeedPosition:
    """Position in a feed: all events up to and including this one have been read."""

    transaction: int
    event_id: UUID = _NOTHING

    def __str__(self) -> str:
        return f"{self.transaction}-{self.event_id.hex}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the position that a text stands for; raise PositionInvalidError if it is not one."""
        match = _POSITION.fullmatch(text)
        if match is None:
            raise PositionInvalidError
        return cls(int(match[1]), UUID(hex=match[2]))

    @property
    def at(self) -> datetime | None:
        """Return when the event at this position was written, or None if the position has no event.

        It is the time of the clock that created the event's id.
        """
        if self.event_id == _NOTHING:
            return None
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self.event_id.int >> 80)


@dataclass(frozen=True, slots=True)
class Horizon:
    """Bounds for reading a feed: transactions below ``settled`` have ended, none from ``upcoming`` on has begun."""

    settled: int
    upcoming: int


@dataclass(frozen=True, slots=True)
class FedEvent:
    """An event, its position in the feed, and the kind of its job."""

    position: FeedPosition
    kind: str
    event: JobEvent


def read_horizon() -> Horizon:
    """Return the present bounds for reading a feed."""
    horizon: Horizon = fetch_one(_HORIZON, row_factory=class_row(Horizon), is_planned=True)
    return horizon


def read_feed(
    *,
    tenant_ids: Iterable[UUID],
    after: FeedPosition,
    until: int,
    since: datetime,
    job_id: UUID | None = None,
    outputs_of: Iterable[UUID] = (),
    limit: int = FEED_PAGE,
) -> list[FedEvent]:
    """Return the next events of these tenants, or of one job, after a position and of transactions below ``until``.

    ``since`` limits the search in the index: the id of no unread event may be older. Output is read of the jobs
    ``outputs_of`` alone.
    """
    values: dict[str, Any] = {
        "tenants": list(tenant_ids),
        "floor": uuid7_floor(since),
        "until": until,
        "transaction": after.transaction,
        "event": after.event_id,
        "job": job_id,
        "output": OUTPUT_EVENT,
        "outputs_of": list(outputs_of),
        "limit": limit,
    }
    statement = _FEED_OF_ALL if job_id is None else _FEED_OF_JOB
    return [_fed(**row) for row in fetch_all(statement, values, dict_row, is_planned=True)]


def _fed(number: int, kind: str, data: str, **values: Any) -> FedEvent:
    event = JobEvent(data=_DATA.from_db_value(data, None, None), **values)
    if event.name == OUTPUT_EVENT:
        # In the scope of the read, because its key may have to be read too.
        event.data = readable_output(event)
    return FedEvent(FeedPosition(number, event.id), kind, event)
