"""Reads of job events in an order in which no event appears before one that was already read.

Ids are created before their rows are committed, so a smaller id may appear after a greater one was read. A feed is
therefore ordered by the transaction that wrote an event, then by id: a transaction's number is the row's `xmin`, and
below the oldest open one no event can be added. Savepoints have numbers of their own, greater than their transaction's,
and are open as long as it is.
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
class FeedPosition:
    """Position in a feed: all events up to this one have been read."""

    transaction: int
    event_id: UUID = _NOTHING

    def __str__(self) -> str:
        return f"{self.transaction}-{self.event_id.hex}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the position of a text; raise PositionInvalidError if it is none."""
        match = _POSITION.fullmatch(text)
        if match is None:
            raise PositionInvalidError
        return cls(int(match[1]), UUID(hex=match[2]))

    @property
    def at(self) -> datetime | None:
        """Return when its event was written, by the clock that created the id, or None without an event."""
        if self.event_id == _NOTHING:
            return None
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self.event_id.int >> 80)


@dataclass(frozen=True, slots=True)
class Horizon:
    """Bounds of open transactions: all before `settled` have ended, none from `upcoming` on had begun."""

    settled: int
    upcoming: int


@dataclass(frozen=True, slots=True)
class FedEvent:
    """Event with its position in the feed and its job's kind."""

    position: FeedPosition
    kind: str
    event: JobEvent


def read_horizon() -> Horizon:
    """Return the bounds up to which a feed can be read now."""
    with planned_cursor(class_row(Horizon)) as cursor:
        cursor.execute(_HORIZON)
        horizon: Horizon = cursor.fetchone()
    return horizon


def read_feed(
    *,
    tenant_ids: Iterable[UUID],
    after: FeedPosition,
    until: int,
    since: datetime,
    job_id: UUID | None = None,
    limit: int = FEED_PAGE,
) -> list[FedEvent]:
    """Return the next events of these tenants, or of one job, after a position and before a transaction.

    `since` is a bound for the index: no unread event's id is older.
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
    return FedEvent(FeedPosition(number, event.id), kind, event)
