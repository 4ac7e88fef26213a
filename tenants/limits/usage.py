"""Counters of what tenants store; each change in the transaction of what it counts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg.rows import scalar_row

from tenants.database.prepared import planned_cursor
from tenants.database.sql import load_sql
from tenants.exceptions import SpaceExceededError
from tenants.limits.declared import NO_PERIOD, Limit, LimitReached
from tenants.limits.queries import allowed_for
from tenants.limits.warnings import note_level
from tenants.models import TenantUsage
from tenants.translation import LocalizableText

_CHANGE = load_sql(__file__)["change_stored"]

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
    with planned_cursor(scalar_row) as cursor:
        cursor.execute(_CHANGE, parameters)
        amount = cursor.fetchone()
    if amount is None:
        raise space_exceeded(tenant_id, limit, allowed=units or 0, wanted=change)
    if units is not None and limit.warns:
        note_level(tenant_id=tenant_id, limit=limit, used=amount, allowed=units)


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
