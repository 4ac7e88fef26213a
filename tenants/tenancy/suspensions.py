"""Output of the commands that suspend and reinstate tenants."""

from __future__ import annotations

import json

from tenants.models import Tenant, TenantStatus


def describe_suspension(tenant: Tenant, *, as_json: bool) -> str:
    """Return one line about a tenant's suspension: a sentence, or JSON if `as_json`."""
    until = tenant.suspended_until.isoformat() if tenant.suspended_until else None
    if as_json:
        since = tenant.suspended_at.isoformat() if tenant.suspended_at else None
        facts = {
            "slug": tenant.slug,
            "status": str(tenant.status),
            "reason": tenant.status_reason,
            "suspended_by": tenant.suspended_by,
            "suspended_at": since,
            "suspended_until": until,
        }
        return json.dumps(facts, ensure_ascii=False)
    if tenant.status != TenantStatus.SUSPENDED:
        return f"{tenant.slug} is active."
    return f"{tenant.slug} is suspended{f' until {until}' if until else ''}: {tenant.status_reason}"
