"""Counting of the jobs of objectives, from the waits that the rollups hold."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from scheduling.models import Objective
from scheduling.statistics.histogram import BOUNDS
from tenants.database.prepared import execute, fetch_all
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)


def count_hour(hour: datetime) -> None:
    """Count the jobs of each objective in one hour again, in the scope of all tenants."""
    if Objective.objects.exists():
        execute(_SQL["count_hour"], _values(hour), is_planned=True)


def compare_hour(hour: datetime) -> list[Any]:
    """Return the objectives whose stored counts of an hour differ from its rollups, with both."""
    return fetch_all(_SQL["compare_hour"], _values(hour), is_planned=True)


def _values(hour: datetime) -> dict[str, Any]:
    return {"hour": hour, "bounds": list(BOUNDS)}
