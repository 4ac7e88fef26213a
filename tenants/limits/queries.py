"""How much a tenant is allowed: its override, else its plan's number, else the default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import namedtuple_row

from tenants.cache.shared_cache import SharedCache
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql
from tenants.limits.declared import Limit, Source, get_limit, limits

_SQL = load_sql(__file__)
# The first day of the month, by the database's clock, as SQL.
MONTH, _EFFECTIVE = _SQL["this_month"], _SQL["read_limits"]


@dataclass(frozen=True, slots=True)
class EffectiveLimit:
    """A limit as it is for one tenant now; `allowed` None: without limit."""

    limit: Limit
    allowed: int | None
    source: Source
    expires_at: datetime | None = None


def effective_limits(tenant_id: UUID, only: Iterable[Limit] | None = None) -> Mapping[str, EffectiveLimit]:
    """Limits of a tenant of the current scope by key, all or ``only`` some, in their order: one statement."""
    known = limits() if only is None else {limit.key: limit for limit in only}
    with prepared_cursor(namedtuple_row) as cursor:
        cursor.execute(_EFFECTIVE, described(known.values(), [tenant_id]))
        rows = {row.key: row for row in cursor.fetchall()}
    return {
        key: EffectiveLimit(limit, rows[key].value, Source(rows[key].source), rows[key].expires_at)
        for key, limit in known.items()
        if key in rows
    }


class KeptLimits:
    """The limits of ``only`` that each request reads, less than a second old."""

    def __init__(self, name: str, only: Iterable[Limit]) -> None:
        self._only = tuple(only)
        self._kept = SharedCache(name, _limits_of)

    def get(self, tenant_id: UUID) -> Mapping[str, EffectiveLimit]:
        """Return the limits of a tenant of the current scope by key."""
        return self._kept.get(str(tenant_id), lambda: _document_of(effective_limits(tenant_id, self._only)))


def allowed_for(tenant_id: UUID, limit: Limit) -> int | None:
    """How much of one limit a tenant of the current scope may use; None: without limit."""
    with prepared_cursor(namedtuple_row) as cursor:
        cursor.execute(_EFFECTIVE, described([limit], [tenant_id]))
        row = cursor.fetchone()
    return None if row is None else row.value


def described(wanted: Iterable[Limit], tenant_ids: Iterable[UUID]) -> dict[str, Any]:
    """Return the parameters of the fragment ``allowed_limits``."""
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
    return {
        key: EffectiveLimit(
            get_limit(key), allowed, Source(source), None if expires is None else datetime.fromisoformat(expires)
        )
        for key, allowed, source, expires in document
    }
