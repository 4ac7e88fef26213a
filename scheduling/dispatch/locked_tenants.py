"""Read the tenants that ticks skip because another transaction has locked their rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from scheduling.models import PoolClock
from tenants.database.clock import read_clock
from tenants.models import Tenant

# Ticks record a locked tenant several times within this.
SEEN_WITHIN = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class LockedTenant:
    """A tenant that dispatch ticks skip because its rows are locked: since when, and by which session, if known."""

    slug: str
    since: datetime
    server_pid: int | None


def read_locked_tenants() -> list[LockedTenant]:
    """Return the tenants that ticks skip now, the longest locked first; call it within ``all_tenants()``."""
    now = read_clock()
    found: dict[str, tuple[datetime, int | None]] = {}
    for entries in PoolClock.objects.exclude(locked_tenants={}).values_list("locked_tenants", flat=True):
        for tenant_id, entry in entries.items():
            since = locked_since(entry, now)
            if since is not None and (tenant_id not in found or since < found[tenant_id][0]):
                found[tenant_id] = (since, entry["pid"])
    slugs = Tenant.objects.filter(pk__in=found).values_list("pk", "slug")
    tenants = [LockedTenant(slug, *found[str(tenant_id)]) for tenant_id, slug in slugs]
    return sorted(tenants, key=lambda tenant: tenant.since)


def locked_since(entry: Mapping[str, Any] | None, now: datetime) -> datetime | None:
    """Return since when ticks skip a tenant, from its entry in the pool's clock; None if they do not skip it."""
    if entry is None or not entry["is_whole"] or now - datetime.fromtimestamp(entry["seen"], UTC) > SEEN_WITHIN:
        return None
    return datetime.fromtimestamp(entry["since"], UTC)
