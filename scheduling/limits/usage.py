"""Measurement of how much of its limits of scheduling a tenant uses now."""

from __future__ import annotations

from uuid import UUID

from scheduling.dispatch.pick import memory_gate_parameters
from scheduling.fairness.gcra import Rate
from scheduling.limits import rate_buckets
from scheduling.limits.declared import (
    LOG_BYTES,
    MAX_CONCURRENCY,
    MAX_WAITING_JOBS,
    MEMORY_NOW,
    SCHEDULE_COUNT,
    SUBMIT_BURST,
    SUBMITS_PER_MINUTE,
)
from tenants.database.prepared import fetch_one
from tenants.database.sql import load_sql
from tenants.limits.usage import EffectiveLimit
from tenants.limits.usage_queries import Measured

_NOW = load_sql(__file__)["measure_usage"]
# Note on a bucket whose level is that of this process alone.
REDIS_AWAY = "The broker is unavailable: each web process counts by itself until it is back."


def measure_usage(tenant_id: UUID, limits: dict[str, EffectiveLimit]) -> dict[str, Measured]:
    """Return the use of those limits that are measured on request: waiting jobs, jobs in flight, schedules, tokens."""
    row = fetch_one(_NOW, {"tenant_id": tenant_id, "needs": memory_gate_parameters()})
    measured = {
        MAX_WAITING_JOBS.key: Measured(int(row.waiting)),
        MAX_CONCURRENCY.key: Measured(int(row.in_flight)),
        MEMORY_NOW.key: Measured(int(row.memory_mib)),
        SCHEDULE_COUNT.key: Measured(int(row.schedules)),
        LOG_BYTES.key: Measured(int(row.log_bytes)),
    }
    rate = Rate.per_minute(limits[SUBMITS_PER_MINUTE.key].allowed or 0, limits[SUBMIT_BURST.key].allowed or 0)
    if rate is not None:
        grant = rate_buckets.read_bucket(tenant_id, rate)
        used = rate.burst - grant.remaining
        note = REDIS_AWAY if rate_buckets.is_away() else ""
        measured[SUBMIT_BURST.key] = Measured(used, grant.backlog_us / 1_000_000, note)
    return measured
