"""Rollups of series by the hour, and counts of objectives, which a dispatcher brings up to date every minute."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet, Sum
from psycopg.rows import scalar_row

from scheduling.dispatch.leadership import try_to_lead
from scheduling.models import SeriesHour
from scheduling.statistics.histogram import BOUNDS
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.prepared import fetch_all, fetch_one
from tenants.database.sql import load_sql

SERIES_SECONDS = 60.0
# If a turn leaves rows behind; some half a second for each turn.
NEXT_SECONDS = 5.0
TURN_ROWS = 20_000
TENANT_LIMIT = 200
_SQL = load_sql(__file__)


class SeriesFolder:
    """Duty of a dispatcher that brings the hours up to date every SERIES_SECONDS, and sooner while rows are left."""

    def __init__(self) -> None:
        self._is_behind = False

    def interval_seconds(self) -> float:
        """Return the seconds until the next turn."""
        return NEXT_SECONDS if self._is_behind else SERIES_SECONDS

    def take_turn(self) -> int:
        """Bring the hours up to date; return the number of rows that were added."""
        self._is_behind = False
        added = fold_series()
        self._is_behind = added >= TURN_ROWS
        return added


def fold_series(*, limit: int | None = None) -> int:
    """Add the rows that folds have appended to hours and objectives, at most ``limit`` (default TURN_ROWS).

    Return their number.
    """
    with all_tenants():
        if not try_to_lead(LockClass.SERIES):
            return 0
        values = {"limit": TURN_ROWS if limit is None else limit, "bounds": list(BOUNDS)}
        return int(fetch_one(_SQL["fold_series"], values, scalar_row, is_planned=True))


def compare_objectives(hour: datetime) -> list[Any]:
    """Return the objectives whose counts of an hour differ from the minutes of kinds, in the scope of all tenants."""
    return fetch_all(_SQL["compare_objectives"], {"hour": hour, "bounds": list(BOUNDS)}, is_planned=True)


def read_hours(scope: SeriesHour.Scope, *, since: datetime, tenant_id: UUID | None) -> QuerySet[SeriesHour]:
    """Return the rows of a scope since an hour: those of one tenant, or with None those over all tenants.

    Of tenants the TENANT_LIMIT with the most executions have rows.
    """
    rows = SeriesHour.objects.filter(scope=scope, hour__gte=since)
    rows = rows.filter(tenant_id=tenant_id) if tenant_id else rows.filter(tenant=None)
    if scope != SeriesHour.Scope.TENANT:
        return rows
    greatest = rows.values("name").annotate(ended=Sum(F("completed") + F("failed"))).order_by("-ended", "name")
    return rows.filter(name__in=[row["name"] for row in greatest[:TENANT_LIMIT]])
