"""Access review: who has which right now."""

from __future__ import annotations

from typing import Any

from psycopg.rows import dict_row

from scheduling.evidence.sections import READ_RIGHTS
from tenants.audit.verification import chain_scope
from tenants.database.clock import read_clock
from tenants.database.prepared import fetch_all
from tenants.models import Tenant


def review_access(tenant: Tenant | None) -> list[dict[str, Any]]:
    """Return the rights of a tenant's members and keys; without a tenant, of all, and those of the platform.

    Each has ``is_active`` (false for a deactivated account) and ``last_used_at``, the last log-in or use of a key.
    """
    with chain_scope(tenant):
        now = read_clock()
        values = {"since": now, "until": now, "tenant": tenant and tenant.pk, "is_now": True}
        return [row for row in fetch_all(READ_RIGHTS, values, dict_row, is_planned=True) if row["ended_at"] is None]
