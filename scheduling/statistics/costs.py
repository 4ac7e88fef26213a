"""Reads of predicted job costs and their errors."""

from __future__ import annotations

from django.db.models import F

from scheduling.models import KindCost, TenantKindCost

WORST_LIMIT = 20


def read_kind_costs() -> dict[str, KindCost]:
    """Return every known cost, by kind."""
    return {cost.kind: cost for cost in KindCost.objects.order_by("kind")}


def list_worst_predicted(*, kind: str, limit: int = WORST_LIMIT) -> list[TenantKindCost]:
    """Return the tenants of the scope with the greatest prediction error for the kind, in slot time."""
    known = TenantKindCost.objects.filter(kind=kind, total_us__gt=0).select_related("tenant")
    return list(known.order_by(-F("error_us"), "tenant_id")[:limit])
