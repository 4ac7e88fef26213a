"""Counters of what tenants store; each change in the transaction of what it counts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import connection

from tenants.exceptions import SpaceExceededError
from tenants.limits import NO_PERIOD, Limit, LimitReached
from tenants.models import TenantUsage
from tenants.selectors.limits import allowed_for
from tenants.services.limit_warnings import note_level
from tenants.translation import LocalizableText

# The row stays locked until the transaction ends, so two changes at once cannot pass the limit together.
_CHANGE = """
INSERT INTO tenants_tenantusage AS u (tenant_id, key, period, amount)
SELECT %(tenant_id)s, %(key)s, %(period)s, greatest(0, %(change)s)
WHERE %(change)s <= 0 OR %(allowed)s::bigint IS NULL OR %(change)s <= %(allowed)s
ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = greatest(0, u.amount + %(change)s)
WHERE %(change)s <= 0 OR %(allowed)s::bigint IS NULL OR u.amount + %(change)s <= %(allowed)s
RETURNING amount
"""

# Without words of its own, and so without a translation.
_FACTS = "%(used)s%(wanted)s"


def change_stored(*, tenant_id: UUID, limit: Limit, change: int) -> None:
    """Count what is about to be stored or was deleted; SpaceExceededError for more than the tenant may keep."""
    if not change:
        return
    units = allowed_for(tenant_id, limit) if change > 0 else None
    allowed = None if units is None else units * limit.counts_per_unit
    parameters: dict[str, Any] = {"tenant_id": tenant_id, "key": limit.key, "period": NO_PERIOD}
    parameters |= {"change": change, "allowed": allowed}
    with connection.cursor() as cursor:
        cursor.execute(_CHANGE, parameters)
        row = cursor.fetchone()
    if row is None:
        raise space_exceeded(tenant_id, limit, allowed=units or 0, wanted=change)
    if units is not None and limit.warns:
        note_level(tenant_id=tenant_id, limit=limit, used=row[0], allowed=units)


def check_room(*, tenant_id: UUID, limit: Limit, wanted: int = 1) -> None:
    """Raise SpaceExceededError where so much more may not be stored, before anything is done for it.

    It holds nobody back: `change_stored` decides, for those who ask at once.
    """
    allowed = allowed_for(tenant_id, limit)
    if allowed is not None and stored(tenant_id, limit) + wanted > allowed * limit.counts_per_unit:
        raise space_exceeded(tenant_id, limit, allowed=allowed, wanted=wanted if wanted > 1 else 0)


def stored(tenant_id: UUID, limit: Limit) -> int:
    """How much a tenant stores now, as its counter says."""
    counter = TenantUsage.objects.filter(tenant_id=tenant_id, key=limit.key, period=NO_PERIOD)
    return counter.values_list("amount", flat=True).first() or 0


def space_exceeded(tenant_id: UUID, limit: Limit, *, allowed: int, wanted: int) -> SpaceExceededError:
    """The refusal, with what is used now."""
    used = stored(tenant_id, limit)
    values = {
        "title": LocalizableText(limit.title),
        "used": f"{used:,}",
        "allowed": f"{allowed:,}",
        "unit": LocalizableText(limit.unit),
    }
    facts: dict[str, Any] = {
        "used": LocalizableText("%(title)s: %(used)s of %(allowed)s %(unit)s are used.", values),
        "wanted": LocalizableText(" %(count)s more are asked for.", {"count": f"{wanted:,}"}) if wanted else "",
    }
    return SpaceExceededError(_FACTS, facts, limit=LimitReached(limit.key, limit.unit, allowed, used))
