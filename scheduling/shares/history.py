"""Slots that tenants used over time, and the slots that they were entitled to at that time.

Use comes from the rollups and, for running jobs, from their start times; entitlements come from the dispatcher's
samples. However long the range is, a page has about a hundred bins of at most LINE_LIMIT tenants.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from scheduling.fairness.entitlement import jain_index
from scheduling.models import CFSPlan, Queue, RollupClock
from scheduling.shares.raw import fetch_rows
from scheduling.shares.standings import Standing, read_standings
from scheduling.shares.verdicts import ComparedBin, Comparison, EntitlementState, compare
from tenants.context import require_scope
from tenants.database.clock import read_clock
from tenants.database.sql import load_sql
from tenants.models import Tenant

LINE_LIMIT = 12
# The part of a bin in which a tenant must have been backlogged to count in Jain's index.
MOSTLY = 0.5
# An older lag is not current; without samples for longer, no dispatcher samples.
LAG_AGE = timedelta(minutes=2)
SILENT_AFTER = timedelta(minutes=1)
_MICROSECOND = timedelta(microseconds=1)
# Keeps the division by the length of a bin that has just begun finite.
_SHORTEST_US = 1_000_000.0

_SQL = load_sql(__file__)
_ENTITLED, _LAGS, _USED, _RUNNING = _SQL["sum_entitled"], _SQL["sum_lags"], _SQL["sum_used"], _SQL["find_running"]


class HistorySpan(StrEnum):
    """Time span that a history covers: ten minutes on the overview, longer ones on the fairness page."""

    RECENT = "10min"
    HOUR = "hour"
    SIX_HOURS = "6h"
    DAY = "day"

    @property
    def bin_length(self) -> timedelta:
        return timedelta(minutes={HistorySpan.SIX_HOURS: 5, HistorySpan.DAY: 15}.get(self, 1))

    @property
    def bins(self) -> int:
        return {HistorySpan.RECENT: 11, HistorySpan.HOUR: 60, HistorySpan.SIX_HOURS: 72}.get(self, 96)


@dataclass(frozen=True, slots=True)
class ShareLine:
    """Slots of one tenant in each bin of the range; ``backlogged`` is the part of each bin in which it had a backlog.

    An entitlement depends on all tenants, so a tenant itself does not see it: ``entitled`` is then empty, and
    ``lag_us``, the microseconds of slot time behind its ideal share, is None.
    """

    tenant_id: UUID
    slug: str
    name: str
    plan_name: str
    cap: int
    used: list[float]
    entitled: list[float] = field(default_factory=list)
    backlogged: list[float] = field(default_factory=list)
    lag_us: int | None = None
    standing: Standing = field(default_factory=Standing)
    comparison: Comparison = field(default_factory=Comparison)

    @property
    def used_slots(self) -> float:
        """Return the mean of the used slots over the bins in which the tenant used or wanted any."""
        return self._mean(self.used)

    @property
    def entitled_slots(self) -> float | None:
        """Return the mean of the entitled slots over the bins in which the tenant used or wanted any, or None."""
        return self._mean(self.entitled) if self.entitled else None

    @property
    def ratio(self) -> float | None:
        """Return used over entitled slots while backlogged, or None if it was not for long; 1.0 is exactly fair."""
        return self.comparison.ratio

    @property
    def half_ratio(self) -> float:
        """Return the ratio as the length of a bar in whose middle the entitlement is."""
        return (self.ratio or 0.0) / 2

    @property
    def verdict(self) -> EntitlementState:
        if self.standing.stop:
            return EntitlementState(self.standing.stop)
        return self.comparison.verdict if self.entitled else EntitlementState.UNKNOWN

    def _mean(self, slots: Sequence[float]) -> float:
        entitled = self.entitled or self.used
        alive = [index for index, used in enumerate(self.used) if used > 0 or entitled[index] > 0]
        return sum(slots[index] for index in alive) / len(alive) if alive else 0.0

    def is_compared_in(self, index: int) -> bool:
        """Return whether the tenant had a backlog during most of the bin."""
        return bool(self.entitled) and self.entitled[index] > 0 and self.backlogged[index] >= MOSTLY


@dataclass(frozen=True, slots=True)
class ShareHistory:
    """Use and entitlement of the tenants with the greatest entitlements, and how even their shares were.

    ``jain`` is Jain's index, None in bins without competition. ``sampled_at`` is the time of a dispatcher's last
    sample.
    """

    now: datetime
    since: datetime
    bin_length: timedelta
    lines: list[ShareLine] = field(default_factory=list)
    jain: list[float | None] = field(default_factory=list)
    sampled_at: datetime | None = None
    plan_name: str = ""
    is_off: bool = False

    @property
    def bin_seconds(self) -> int:
        return self.bin_length // timedelta(seconds=1)

    @property
    def jain_now(self) -> float | None:
        """Return Jain's index of the last complete bin that has one, or None."""
        return next((value for value in reversed(self.jain[:-1]) if value is not None), None)

    @property
    def starving(self) -> int:
        return sum(line.verdict is EntitlementState.BELOW for line in self.lines)

    @property
    def is_stale(self) -> bool:
        """Return whether the last sample of entitlements is too old, so that no dispatcher seems to run."""
        return self.sampled_at is None or self.now - self.sampled_at > SILENT_AFTER


@dataclass(frozen=True, slots=True)
class _Axis:
    """Bins of equal length that cover the range; the last one is not over yet."""

    since: datetime
    length: timedelta
    bins: int

    def lengths_us(self, until: datetime) -> list[float]:
        """Return for each bin how many of its microseconds had passed at ``until``."""
        return [max(timedelta(), min(self.length, until - self.begin(n))) / _MICROSECOND for n in range(self.bins)]

    def begin(self, index: int) -> datetime:
        return self.since + index * self.length

    def index(self, moment: datetime) -> int:
        return max(0, (moment - self.since) // self.length)


def _read_lags(tenant_ids: Sequence[UUID], now: datetime, *, queues: Sequence[Queue] | None = None) -> dict[UUID, int]:
    """Return by tenant the microseconds of slot time that it is behind its ideal share, by the last sample."""
    named = None if queues is None else [queue.pk for queue in queues]
    parameters = {"tenants": list(tenant_ids), "queues": named, "lag_since": now - LAG_AGE}
    return {row.tenant_id: row.lag_us for row in fetch_rows(_LAGS, parameters)}


def read_share_history(
    span: HistorySpan,
    *,
    queues: Sequence[Queue] | None = None,
    tenant_id: UUID | None = None,
    limit: int = LINE_LIMIT,
    now: datetime | None = None,
) -> ShareHistory:
    """Return the history up to ``now`` for ``queues`` (None: all queues), in at most nine queries.

    It has the greatest entitlements or, with ``tenant_id``, one tenant.
    """
    now = now or read_clock()
    axis = _Axis(_floor(now, span.bin_length) - (span.bins - 1) * span.bin_length, span.bin_length, span.bins)
    parameters = _parameters(axis, queues, limit, tenant_id)
    own = require_scope().tenant_id
    sampled = _sampled(parameters, axis) if own is None else {own: {}}
    if tenant_id is not None:
        sampled.setdefault(tenant_id, {})
    standings = read_standings(list(sampled), now, queues=parameters["queues"])
    tenants = Tenant.objects.select_related("plan").in_bulk(list(standings) if tenant_id is None else [tenant_id])
    parameters["tenants"] = list(tenants)
    used = _read_used(parameters, axis, now)
    lines = [_line(tenant, axis, used, now, standings[key]) for key, tenant in tenants.items()]
    plan = CFSPlan.objects.filter(is_active=True).first()
    is_off = plan is None or plan.strategy == CFSPlan.Strategy.NOP
    if own is not None:
        return ShareHistory(now, axis.since, axis.length, lines, is_off=is_off)
    clock = RollupClock.objects.first()
    sampled_at = clock.shares_sampled_at if clock else None
    # A sample is some seconds old: the running bin ends at the last sample.
    lines = _with_entitlements(lines, sampled, axis.lengths_us(min(sampled_at or now, now)))
    lags = _read_lags(list(tenants), now, queues=queues)
    return ShareHistory(
        now=now,
        since=axis.since,
        bin_length=axis.length,
        lines=[replace(line, lag_us=lags.get(line.tenant_id)) for line in lines],
        jain=[_jain(lines, index) for index in range(axis.bins)],
        sampled_at=sampled_at,
        plan_name=plan.name if plan else "",
        is_off=is_off,
    )


def _parameters(axis: _Axis, queues: Sequence[Queue] | None, limit: int, tenant_id: UUID | None) -> dict[str, Any]:
    return {
        "since": axis.since,
        "length": axis.length,
        "seconds": axis.length.total_seconds(),
        "queues": None if queues is None else [queue.pk for queue in queues],
        "limit": limit,
        "only": tenant_id,
    }


def _sampled(parameters: dict[str, Any], axis: _Axis) -> dict[UUID, dict[int, tuple[int, int]]]:
    """Return the microseconds of entitled and of backlogged time by tenant and bin."""
    found: dict[UUID, dict[int, tuple[int, int]]] = defaultdict(dict)
    for row in fetch_rows(_ENTITLED, parameters):
        found[row.tenant_id][axis.index(row.bin)] = (row.entitled_us, row.backlogged_us)
    if parameters["only"] is not None:
        found.setdefault(parameters["only"], {})
    return dict(found)


def _read_used(parameters: dict[str, Any], axis: _Axis, now: datetime) -> dict[tuple[UUID, int], float]:
    """Return the microseconds of slot time that ended and running jobs used, by tenant and bin."""
    used: dict[tuple[UUID, int], float] = defaultdict(float)
    for row in fetch_rows(_USED, parameters):
        used[row.tenant_id, axis.index(row.bin)] += row.busy_us
    for row in fetch_rows(_RUNNING, parameters):
        for index in range(axis.index(row.started_at), axis.bins):
            begun = max(row.started_at, axis.begin(index))
            lasted = max(timedelta(), min(now, axis.begin(index + 1)) - begun)
            used[row.tenant_id, index] += lasted / _MICROSECOND / row.size
    return used


def _line(
    tenant: Tenant, axis: _Axis, used: dict[tuple[UUID, int], float], now: datetime, standing: Standing
) -> ShareLine:
    lengths = axis.lengths_us(now)
    return ShareLine(
        tenant_id=tenant.pk,
        slug=tenant.slug,
        name=tenant.name,
        plan_name=tenant.plan.name,
        cap=tenant.concurrency_cap,
        used=[used.get((tenant.pk, n), 0.0) / max(lengths[n], _SHORTEST_US) for n in range(axis.bins)],
        standing=standing,
    )


def _with_entitlements(
    lines: Sequence[ShareLine], sampled: Mapping[UUID, Mapping[int, tuple[int, int]]], lengths: Sequence[float]
) -> list[ShareLine]:
    """Return the lines with their entitlements and verdicts, greatest entitlement first."""
    longest_us = max((line.standing.longest_us for line in lines), default=0)
    found = []
    for line in lines:
        numbers = sampled.get(line.tenant_id, {})
        bins = [
            ComparedBin(length, numbers.get(n, (0, 0))[1], slots * length, numbers.get(n, (0, 0))[0])
            for n, (length, slots) in enumerate(zip(lengths, line.used, strict=True))
        ]
        found.append(
            replace(
                line,
                entitled=[row.entitled_us / max(row.length_us, _SHORTEST_US) for row in bins],
                backlogged=[row.backlogged_us / max(row.length_us, _SHORTEST_US) for row in bins],
                comparison=compare(bins, longest_job_us=longest_us),
            )
        )
    return sorted(found, key=lambda line: (-sum(line.entitled), line.name))


def _jain(lines: Sequence[ShareLine], index: int) -> float | None:
    ratios = [line.used[index] / line.entitled[index] for line in lines if line.is_compared_in(index)]
    return jain_index(ratios) if len(ratios) > 1 else None


def _floor(moment: datetime, length: timedelta) -> datetime:
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + (moment - midnight) // length * length
