"""What the predictor of costs has learned, and how far it was off."""

from __future__ import annotations

from django.db.models import F

from scheduling.models import KindCost, TenantKindCost

WORST_LIMIT = 20


def read_kind_costs() -> dict[str, KindCost]:
    """Every kind's cost that is known, by kind."""
    return {cost.kind: cost for cost in KindCost.objects.order_by("kind")}


def list_worst_predicted(*, kind: str, limit: int = WORST_LIMIT) -> list[TenantKindCost]:
    """The tenants of the scope whose jobs of the kind are predicted worst: by the slot time that they were off."""
    known = TenantKindCost.objects.filter(kind=kind, total_us__gt=0).select_related("tenant")
    return list(known.order_by(-F("error_us"), "tenant_id")[:limit])
