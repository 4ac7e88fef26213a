"""What tenants have waiting and in flight now, and what stops their dispatches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from scheduling.shares.raw import fetch_rows
from tenants.context import require_scope
from tenants.database.sql import load_sql

# The most tenants that are shown because they wait, for example paused, and not for an entitlement.
STOPPED_LIMIT = 8
# Tenants without jobs get no gauges, so older ones count as zero.
GAUGE_AGE = timedelta(minutes=2)

_SQL = load_sql(__file__)
_WAITING, _STANDINGS = _SQL["find_waiting"], _SQL["read_standings"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a tenant has waiting and in flight now, and what stops its dispatches; an empty ``stop``: nothing does.

    ``longest_us`` is the predicted slot time of the longest of its next jobs, ``oldest_seconds`` its longest wait.
    """

    stop: str = ""
    waiting: int = 0
    in_flight: int = 0
    longest_us: int = 0
    oldest_seconds: float | None = None


def read_standings(entitled: Sequence[UUID], now: datetime, *, queues: list[int] | None) -> dict[UUID, Standing]:
    """Return the standing of the ``entitled`` tenants and of those that wait longest without being entitled."""
    limit = len(entitled) + STOPPED_LIMIT
    parameters = {"queues": queues, "tenants": list(entitled), "limit": limit, "gauge_since": now - GAUGE_AGE}
    oldest = {row.tenant_id: row.oldest_at for row in fetch_rows(_WAITING, parameters)}
    if require_scope().is_all_tenants:
        parameters["tenants"] = list({*entitled, *oldest})
    return {
        row.tenant_id: Standing(
            row.stop, row.waiting, row.in_flight, row.longest_us, _seconds(oldest.get(row.tenant_id), row.waiting, now)
        )
        for row in fetch_rows(_STANDINGS, parameters)
    }


def _seconds(oldest_at: datetime | None, waiting: int, now: datetime) -> float | None:
    """Return for how long the oldest job has waited; None without waiting jobs: the gauge may be older than that."""
    return max(0.0, (now - oldest_at).total_seconds()) if oldest_at is not None and waiting else None
