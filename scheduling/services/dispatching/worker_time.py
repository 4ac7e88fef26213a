"""A tenant's worker time of the month against its limit, as SQL over ``t`` (tenant) and ``p`` (its plan)."""

from __future__ import annotations

from scheduling.limits import WORKER_SECONDS
from tenants.selectors.limits import MONTH

# An override goes before the plan. The cap keeps a number that nobody checked from overflowing in every tick.
LIMIT_US = f"""1000000 * least(9000000000000, coalesce((
    SELECT l.value FROM tenants_tenantlimit l WHERE l.tenant_id = t.id AND l.key = '{WORKER_SECONDS.key}'
        AND (l.expires_at IS NULL OR l.expires_at > now())), p.worker_seconds_per_month))"""  # noqa: S608 - constants
USED_US = f"""coalesce((
    SELECT u.amount FROM tenants_tenantusage u
    WHERE u.tenant_id = t.id AND u.key = '{WORKER_SECONDS.key}' AND u.period = {MONTH}), 0)"""  # noqa: S608 - constants
HAS_WORKER_TIME = f"{USED_US} < {LIMIT_US}"
