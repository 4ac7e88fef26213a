"""How much a tenant is allowed: its override, else its plan's number, else the default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from tenants.limits import Limit, Source, get_limit, limits
from tenants.prepared import prepared_cursor
from tenants.shared_cache import SharedCache

# The first day of the month, by the database's clock, as SQL.
MONTH = "date_trunc('month', now() AT TIME ZONE 'UTC')::date"
# Values as a table `allowed(tenant_id, key, value, …)`, for statements that go on from there.
ALLOWED = """
described AS (
    SELECT * FROM unnest(%(keys)s::text[], %(plan_columns)s::text[], %(tenant_columns)s::text[],
        %(defaults)s::bigint[], %(counts_per_unit)s::bigint[])
        AS d(key, plan_column, tenant_column, fallback, counts_per_unit)
), sourced AS (
    SELECT t.id AS tenant_id, d.key, d.fallback, d.counts_per_unit, o.expires_at,
        coalesce(o.value, (to_jsonb(t) ->> d.tenant_column)::bigint) AS of_tenant,
        coalesce((to_jsonb(p) ->> d.plan_column)::bigint, r.value) AS of_plan
    FROM tenants_tenant t JOIN tenants_plan p ON p.id = t.plan_id CROSS JOIN described d
        LEFT JOIN tenants_tenantlimit o ON o.tenant_id = t.id AND o.key = d.key
            AND (o.expires_at IS NULL OR o.expires_at > now())
        LEFT JOIN tenants_planlimit r ON r.plan_id = p.id AND r.key = d.key
    WHERE t.id = ANY(%(tenant_ids)s::uuid[])
), allowed AS (
    SELECT *, coalesce(of_tenant, of_plan, fallback) AS value,
        CASE WHEN of_tenant IS NOT NULL THEN 'override' WHEN of_plan IS NOT NULL THEN 'plan' ELSE 'default' END
            AS source
    FROM sourced
)
"""
_EFFECTIVE = f"WITH {ALLOWED} SELECT key, value, source, expires_at FROM allowed"  # noqa: S608 - constants


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
    with prepared_cursor() as cursor:
        cursor.execute(_EFFECTIVE, described(known.values(), [tenant_id]))
        rows = {row[0]: row for row in cursor.fetchall()}
    return {
        key: EffectiveLimit(limit, rows[key][1], Source(rows[key][2]), rows[key][3])
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
    with prepared_cursor() as cursor:
        cursor.execute(_EFFECTIVE, described([limit], [tenant_id]))
        row = cursor.fetchone()
    return None if row is None else row[1]


def described(wanted: Iterable[Limit], tenant_ids: Iterable[UUID]) -> dict[str, Any]:
    """The parameters of `ALLOWED`."""
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
