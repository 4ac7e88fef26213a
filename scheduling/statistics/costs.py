"""Queries of predicted job costs and of the errors of these predictions."""

from __future__ import annotations

from django.db.models import F

from scheduling.models import KindCost, TenantKindCost

WORST_LIMIT = 20


def read_kind_costs() -> dict[str, KindCost]:
    """Return the cost rows of all kinds that have one, by kind."""
    return {cost.kind: cost for cost in KindCost.objects.order_by("kind")}


def list_worst_predicted(*, kind: str, limit: int = WORST_LIMIT) -> list[TenantKindCost]:
    """Return the tenants in the current context whose jobs of this kind had the greatest total prediction error."""
    known = TenantKindCost.objects.filter(kind=kind, total_us__gt=0).select_related("tenant")
    return list(known.order_by(-F("error_us"), "tenant_id")[:limit])
