"""Queries of a tenant's limits and usage, for the API, the console and a command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.apps import apps
from django.utils.module_loading import import_string

from tenants.limits.declared import NO_PERIOD, Limit, LimitPeriod, LimitState, Source, month_end, month_of, state_of
from tenants.limits.usage import EffectiveLimit, effective_limits
from tenants.models import LimitWarning, TenantUsage


class Measured(NamedTuple):
    """A measured usage. ``seconds`` pass until all of it is free again; ``note`` says what the number excludes."""

    used: int
    seconds: float = 0.0
    note: str = ""


# (tenant, its limits) → by key
type Measure = Callable[[UUID, Mapping[str, EffectiveLimit]], Mapping[str, Measured]]


@dataclass(frozen=True, slots=True)
class UsageLine:
    """One limit of a tenant and its usage.

    `used` is None for a limit that is checked for each request or job by itself; `allowed` is None if there is no
    limit.
    """

    limit: Limit
    allowed: int | None
    source: Source
    used: int | None
    left: int | None
    resets_at: datetime | None
    state: LimitState
    override_expires_at: datetime | None
    note: str = ""

    @property
    def part(self) -> float | None:
        """Return the used fraction of the limit, at most 1; None if nothing is counted or there is no limit."""
        if self.used is None or not self.allowed:
            return None
        return min(1.0, self.used / self.allowed)


@dataclass(frozen=True, slots=True)
class Usage:
    """All limits of a tenant with their usage this month, and the warnings of this month."""

    starts_at: datetime
    ends_at: datetime
    lines: Sequence[UsageLine]
    warnings: Sequence[LimitWarning]


def read_usage(tenant_id: UUID) -> Usage:
    """Return the usage of all limits of a tenant of the current scope.

    It takes four SQL statements and one read of the request rates in Redis.
    """
    now = datetime.now(UTC)
    month = month_of(now)
    limits = effective_limits(tenant_id)
    counters = TenantUsage.objects.filter(tenant_id=tenant_id, period__in=[month, NO_PERIOD])
    counted: dict[str, int] = dict(counters.values_list("key", "amount"))
    measured = {key: value for measure in _measures() for key, value in measure(tenant_id, limits).items()}
    lines = [_line(effective, counted, measured, now) for effective in limits.values()]
    warnings = LimitWarning.objects.filter(tenant_id=tenant_id, period=month).order_by("at", "key", "percent")
    return Usage(datetime(month.year, month.month, 1, tzinfo=UTC), month_end(now), lines, list(warnings))


def _measures() -> list[Measure]:
    paths = [getattr(config, "measures_usage", "") for config in apps.get_app_configs()]
    return [import_string(path) for path in paths if path]


def _line(
    effective: EffectiveLimit,
    counted: Mapping[str, int],
    measured: Mapping[str, Measured],
    now: datetime,
) -> UsageLine:
    limit, allowed = effective.limit, effective.allowed
    amount: int | None = counted.get(limit.key, 0) if limit.is_counter else None
    resets_at, note = month_end(now) if limit.span is LimitPeriod.MONTH else None, ""
    if limit.key in measured:
        amount, seconds, note = measured[limit.key]
        resets_at = now + timedelta(seconds=seconds) if seconds > 0 else resets_at
    room = None if allowed is None else allowed * limit.counts_per_unit
    return UsageLine(
        limit=limit,
        allowed=allowed,
        source=effective.source,
        used=None if amount is None else amount // limit.counts_per_unit,
        left=None if amount is None or room is None else max(0, room - amount) // limit.counts_per_unit,
        resets_at=resets_at,
        state=state_of(amount, room) if limit.warns else LimitState.OK,
        override_expires_at=effective.expires_at,
        note=note,
    )
