"""Reading what happens to jobs in an order in which nothing is ever filled in behind what was read.

Ids are made before their rows are committed, so a smaller id may appear after a greater one was read. What orders a
feed is therefore the transaction that wrote an event, and then its id: a transaction's number is the row's own `xmin`,
and below the oldest one still open nothing can be added any more. Savepoints have numbers of their own, greater than
their transaction's, and are thus open as long as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID

from psycopg.rows import class_row, dict_row

from scheduling.models import JobEvent
from tenants.database.ids import uuid7_floor
from tenants.database.prepared import planned_cursor
from tenants.database.sql import load_sql

FEED_PAGE = 500
_NOTHING = UUID(int=0)
_POSITION = re.compile(r"([0-9]{1,18})-([0-9a-f]{32})", re.ASCII)
_SQL = load_sql(__file__)
_HORIZON, _FEED_OF_ALL, _FEED_OF_JOB = _SQL["read_horizon"], _SQL["read_feed"], _SQL["read_feed_of_job"]


class PositionInvalidError(ValueError):
    """The text is no position in a feed."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """How far a feed has been read: all before it, and the event itself."""

    transaction: int
    event_id: UUID = _NOTHING

    def __str__(self) -> str:
        return f"{self.transaction}-{self.event_id.hex}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The position that was told before as a text; `PositionInvalidError` for any other text."""
        match = _POSITION.fullmatch(text)
        if match is None:
            raise PositionInvalidError
        return cls(int(match[1]), UUID(hex=match[2]))

    @property
    def at(self) -> datetime | None:
        """When its event was written, by the clock that made the id; None where it is no event's."""
        if self.event_id == _NOTHING:
            return None
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self.event_id.int >> 80)


@dataclass(frozen=True, slots=True)
class Horizon:
    """All transactions before `settled` are over; none from `upcoming` on had begun."""

    settled: int
    upcoming: int


@dataclass(frozen=True, slots=True)
class FedEvent:
    """An event with its place in the feed and its job's kind."""

    position: Position
    kind: str
    event: JobEvent


def read_horizon() -> Horizon:
    """How far a feed can be read now."""
    with planned_cursor(class_row(Horizon)) as cursor:
        cursor.execute(_HORIZON)
        horizon: Horizon = cursor.fetchone()
    return horizon


def read_feed(
    *,
    tenant_ids: Iterable[UUID],
    after: Position,
    until: int,
    since: datetime,
    job_id: UUID | None = None,
    limit: int = FEED_PAGE,
) -> list[FedEvent]:
    """The next events of these tenants, or of one job, after a position and before a transaction; by one statement.

    `since` is a bound for the index: before it no event's id was made that is still to be read.
    """
    values: dict[str, Any] = {
        "tenants": list(tenant_ids),
        "floor": uuid7_floor(since),
        "until": until,
        "transaction": after.transaction,
        "event": after.event_id,
        "job": job_id,
        "limit": limit,
    }
    with planned_cursor(dict_row) as cursor:
        cursor.execute(_FEED_OF_ALL if job_id is None else _FEED_OF_JOB, values)
        return [_fed(**row) for row in cursor.fetchall()]


def _fed(number: int, kind: str, data: str, **values: Any) -> FedEvent:
    event = JobEvent(data=json.loads(data), **values)
    return FedEvent(Position(number, event.id), kind, event)
