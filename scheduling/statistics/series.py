"""Rollups of series by the hour: sums of the minutes of kinds, which a dispatcher brings up to date every minute."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet
from psycopg.rows import scalar_row

from scheduling.dispatch.leadership import try_to_lead
from scheduling.models import SeriesHour
from scheduling.objectives.counting import count_hour
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.prepared import execute, fetch_all
from tenants.database.sql import load_sql

SERIES_SECONDS = 60.0
# Pause after a turn, in multiples of its duration: summing up takes at most a twentieth of a connection.
REST = 20
# Tenants with a row of their own in an hour; the number bounds what the heat map of tenants reads.
TENANTS_PER_HOUR = 200
_SQL = load_sql(__file__)


class SeriesFolder:
    """Duty of a dispatcher that brings the hours up to date every SERIES_SECONDS, or less often if that is slow."""

    def __init__(self) -> None:
        self._took_seconds = 0.0

    def interval_seconds(self) -> float:
        """Return the seconds until the next turn."""
        return max(SERIES_SECONDS, REST * self._took_seconds)

    def take_turn(self) -> int:
        """Bring the hours up to date; return how many were not."""
        began = time.monotonic()
        hours = fold_hours()
        self._took_seconds = time.monotonic() - began
        return hours


def find_stale_hours() -> Sequence[datetime]:
    """Return the hours of the last two days that are not up to date, in the scope of all tenants."""
    found: Sequence[datetime] = fetch_all(_SQL["find_stale_hours"], {}, scalar_row, is_planned=True)
    return found


def fold_hours() -> int:
    """Sum up the minutes of each hour of the last two days that is not up to date; return the number of hours.

    Each hour has its own transaction; the newest is first. An hour is summed up again as a whole, so a turn that is
    repeated, or interrupted, changes no sum.
    """
    with all_tenants():
        hours = find_stale_hours()
    for hour in hours:
        with all_tenants():
            if not try_to_lead(LockClass.SERIES):
                return 0
            execute(_SQL["fold_hour"], {"hour": hour, "tenants": TENANTS_PER_HOUR}, is_planned=True)
            count_hour(hour)
    return len(hours)


def read_hours(
    scope: SeriesHour.Scope, *, since: datetime, tenant_id: UUID | None, names: Sequence[str] = ()
) -> QuerySet[SeriesHour]:
    """Return the rows of a scope since an hour: those of one tenant, or with None those over all tenants."""
    rows = SeriesHour.objects.filter(scope=scope, tenant_id=tenant_id, hour__gte=since)
    return rows.filter(name__in=names) if names else rows
