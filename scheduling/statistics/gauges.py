"""Sampling of the load of queues, pools and tenants; each sample overwrites the row of the current minute."""

from __future__ import annotations

import time

from scheduling.dispatch.leadership import try_to_lead
from scheduling.shares.verdicts import BELOW
from scheduling.statistics.throughput import WINDOW
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import execute, fetch_one
from tenants.database.sql import load_sql

GAUGE_SECONDS = 2.0
# Tenants have many rows, which are written less often.
TENANT_SECONDS = 10.0
# A sample of another dispatcher within this part of the interval is not repeated.
FRESH_PART = 0.8
# Pause after a sample, in multiples of its duration: sampling takes at most a twentieth of a connection.
REST = 20
# Lines whose heads are read, the longest waiting first; retries in backoff that are read, the soonest first.
HEAD_LIMIT = 500
BACK_OFF_LIMIT = 2_000
_SQL = load_sql(__file__)
_IS_FRESH = _SQL["is_fresh"]
_QUEUES, _POOLS = _SQL["sample_queues"], _SQL["sample_pools"]
# States follow the gauges of tenants, which they compare with entitlements.
_TENANTS = (_SQL["sample_tenants"], _SQL["sample_states"])


class GaugeSampler:
    """Duty of a dispatcher that samples every GAUGE_SECONDS, or less often if sampling is slow."""

    def __init__(self) -> None:
        self._took_seconds = 0.0

    def interval_seconds(self) -> float:
        """Return the seconds until the next sample."""
        return max(GAUGE_SECONDS, REST * self._took_seconds)

    def take_turn(self) -> None:
        """Take a sample, unless another dispatcher has taken one just before."""
        began = time.monotonic()
        sample_gauges(fresh_seconds=FRESH_PART * GAUGE_SECONDS, tenants_fresh_seconds=FRESH_PART * TENANT_SECONDS)
        self._took_seconds = time.monotonic() - began


def sample_gauges(*, fresh_seconds: float = 0.0, tenants_fresh_seconds: float = 0.0) -> int:
    """Write the present gauges into the rows of the current minute; return the number of rows.

    Do nothing if the last sample is younger than ``fresh_seconds``. A later sample in the same minute replaces the
    earlier one, so any number of dispatchers may call this at any time.
    """
    with all_tenants():
        if not try_to_lead(LockClass.GAUGES):
            return 0
        found = fetch_one(_IS_FRESH, {"fresh": fresh_seconds, "tenants_fresh": tenants_fresh_seconds})
        if found.is_fresh:
            return 0
        values = {
            "window": WINDOW.total_seconds(),
            "heads": HEAD_LIMIT,
            "back_offs": BACK_OFF_LIMIT,
            "lease": platform_settings.LEASE_SECONDS,
            "fair": BELOW,
        }
        statements = (_QUEUES, _POOLS, *(() if found.are_tenants_fresh else _TENANTS))
        return sum(execute(statement, values) for statement in statements)
