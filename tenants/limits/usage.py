"""The limits that apply to a tenant, the counters of its stored data, and the warnings when it comes near a limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from psycopg.rows import dict_row, scalar_row

from tenants.cache.shared_cache import SharedCache
from tenants.database.prepared import fetch_all, fetch_one
from tenants.database.sql import load_sql
from tenants.exceptions import SpaceExceededError
from tenants.limits.declared import NO_PERIOD, WARNING_PERCENTS, Limit, LimitReached, Source, limits
from tenants.models import TenantUsage
from tenants.signals import limit_warned
from tenants.translation import LocalizableText

_SQL = load_sql(__file__)
# SQL of the first day of the month by the database's clock.
MONTH, _EFFECTIVE = _SQL["this_month"], _SQL["read_limits"]
_WARN_OF_USAGE, _NOTE = _SQL["warn_of_usage"], _SQL["note_level"]
_CHANGE = _SQL["change_stored"]


@dataclass(frozen=True, slots=True)
class EffectiveLimit:
    """The value of a limit that applies to a tenant now; `allowed` is None if there is no limit."""

    limit: Limit
    allowed: int | None
    source: Source
    expires_at: datetime | None = None


def effective_limits(tenant_id: UUID, only: Iterable[Limit] | None = None) -> Mapping[str, EffectiveLimit]:
    """Return the limits that apply to a tenant of the current scope, by key, read with one statement.

    All declared limits are returned, or those in ``only``.
    """
    known = limits() if only is None else {limit.key: limit for limit in only}
    rows = {row.key: row for row in fetch_all(_EFFECTIVE, described(known.values(), [tenant_id]))}
    return {
        key: EffectiveLimit(limit, rows[key].value, Source(rows[key].source), rows[key].expires_at)
        for key, limit in known.items()
        if key in rows
    }


class CachedLimits:
    """A cache of those limits of tenants that each request reads. A value is less than a second old."""

    def __init__(self, name: str, only: Iterable[Limit]) -> None:
        self._only = tuple(only)
        self._kept = SharedCache(name, _limits_of)

    def get(self, tenant_id: UUID) -> Mapping[str, EffectiveLimit]:
        """Return the limits that apply to a tenant of the current scope, by key."""
        return self._kept.get(str(tenant_id), lambda: _document_of(effective_limits(tenant_id, self._only)))


def allowed_for(tenant_id: UUID, limit: Limit) -> int | None:
    """Return the value of one limit for a tenant of the current scope; None if there is no limit."""
    row = fetch_one(_EFFECTIVE, described([limit], [tenant_id]))
    return None if row is None else row.value


def allowed_for_each(tenant_ids: Iterable[UUID], limit: Limit) -> dict[UUID, int | None]:
    """Return the value of one limit for tenants of the current scope; None if there is no limit."""
    return {row.tenant_id: row.value for row in fetch_all(_EFFECTIVE, described([limit], tenant_ids))}


def described(wanted: Iterable[Limit], tenant_ids: Iterable[UUID]) -> dict[str, Any]:
    """Return the parameters that the SQL fragment ``allowed_limits`` needs for these limits and tenants."""
    chosen = list(wanted)
    return {
        "keys": [limit.key for limit in chosen],
        "plan_columns": [limit.plan_column for limit in chosen],
        "tenant_columns": [limit.tenant_column for limit in chosen],
        "defaults": [limit.default for limit in chosen],
        "counts_per_unit": [limit.counts_per_unit for limit in chosen],
        "tenant_ids": list(tenant_ids),
    }


def _document_of(found: Mapping[str, EffectiveLimit]) -> list[list[Any]]:
    return [
        [key, row.allowed, row.source.value, None if row.expires_at is None else row.expires_at.isoformat()]
        for key, row in found.items()
    ]


def _limits_of(document: list[list[Any]]) -> Mapping[str, EffectiveLimit]:
    known = limits()
    return {
        key: EffectiveLimit(
            known[key], allowed, Source(source), None if expires is None else datetime.fromisoformat(expires)
        )
        for key, allowed, source, expires in document
        if key in known
    }


def warn_of_usage(tenant_ids: Sequence[UUID]) -> int:
    """Store a warning for each of the tenants whose counters have newly reached a percentage of a limit.

    Return the number of new warnings. After the commit the signal `limit_warned` is sent for each.
    """
    counted = [limit for limit in limits().values() if limit.is_counter and limit.warns]
    parameters = described(counted, tenant_ids) | {
        "no_period": NO_PERIOD,
        "percents": list(WARNING_PERCENTS),
    }
    return _write(_WARN_OF_USAGE, parameters)


def note_level(*, tenant_id: UUID, limit: Limit, used: int, allowed: int) -> int:
    """Store warnings about a limit without a counter, whose current usage is given.

    Return the number of new warnings.
    """
    reached = [percent for percent in WARNING_PERCENTS if used > 0 and used * 100 >= percent * allowed]
    if not reached:
        return 0
    parameters = {"tenant_id": tenant_id, "key": limit.key, "percents": reached}
    return _write(_NOTE, parameters | {"used": used, "allowed": allowed})


def _write(statement: str, parameters: dict[str, Any]) -> int:
    warnings = fetch_all(statement, parameters, dict_row, is_planned=True)
    if warnings:
        transaction.on_commit(lambda: _tell(warnings))
    return len(warnings)


def _tell(warnings: Sequence[Mapping[str, Any]]) -> None:
    for warning in warnings:
        limit_warned.send(None, **warning)


# A text without words, and so without a translation.
_FACTS = "%(used)s%(wanted)s"


def change_stored(*, tenant_id: UUID, limit: Limit, change: int) -> None:
    """Add `change` to the counter of data that a tenant stores; `change` is negative for deleted data.

    Call it before the data is stored. Raise `SpaceExceededError` if the limit does not allow so much more.
    """
    if not change:
        return
    units = allowed_for(tenant_id, limit) if change > 0 else None
    allowed = None if units is None else units * limit.counts_per_unit
    parameters: dict[str, Any] = {"tenant_id": tenant_id, "key": limit.key, "period": NO_PERIOD}
    parameters |= {"change": change, "allowed": allowed}
    amount = fetch_one(_CHANGE, parameters, scalar_row, is_planned=True)
    if amount is None:
        raise space_exceeded(tenant_id, limit, allowed=units or 0, wanted=change)
    if units is not None and limit.warns:
        note_level(tenant_id=tenant_id, limit=limit, used=amount, allowed=units)


def check_room(*, tenant_id: UUID, limit: Limit, wanted: int = 1) -> None:
    """Raise `SpaceExceededError` if the tenant may not store `wanted` more. Call it before work is done for the data.

    It locks nothing, so `change_stored` still decides between concurrent callers.
    """
    allowed = allowed_for(tenant_id, limit)
    if allowed is not None and read_stored(tenant_id, limit) + wanted > allowed * limit.counts_per_unit:
        raise space_exceeded(tenant_id, limit, allowed=allowed, wanted=wanted if wanted > 1 else 0)


def read_stored(tenant_id: UUID, limit: Limit) -> int:
    """Return how much the tenant stores now, according to its counter."""
    counter = TenantUsage.objects.filter(tenant_id=tenant_id, key=limit.key, period=NO_PERIOD)
    return counter.values_list("amount", flat=True).first() or 0


def space_exceeded(tenant_id: UUID, limit: Limit, *, allowed: int, wanted: int) -> SpaceExceededError:
    """Return the error that a storage limit is reached, with the tenant's current usage in its message."""
    used = read_stored(tenant_id, limit)
    values = {
        "title": LocalizableText(limit.title),
        "used": f"{used:,}",
        "allowed": f"{allowed:,}",
        "unit": LocalizableText(limit.unit),
    }
    facts: dict[str, Any] = {
        "used": LocalizableText("%(title)s: %(used)s of %(allowed)s %(unit)s are used.", values),
        "wanted": LocalizableText(" %(count)s more were requested.", {"count": f"{wanted:,}"}) if wanted else "",
    }
    return SpaceExceededError(_FACTS, facts, limit=LimitReached(limit.key, limit.unit, allowed, used))
