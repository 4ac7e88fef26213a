"""Predicted costs of kinds in tests."""

from __future__ import annotations

from scheduling.models import FairShareNode, KindCost, TenantKindCost
from tenants.context import all_tenants

# Enough that the test's own jobs hardly change the mean.
SAMPLES = 100.0


def predict(kind: str, microseconds: int) -> None:
    """Set the predicted cost of jobs of ``kind``, for all tenants and sizes."""
    sums = {
        "n": SAMPLES,
        "sum_y": SAMPLES * microseconds,
        "sum_yy": SAMPLES * microseconds**2,
        "least_us": microseconds,
        "most_us": microseconds,
    }
    with all_tenants():
        KindCost.objects.update_or_create(
            kind=kind, defaults={"mean_us": microseconds, "samples": int(SAMPLES), **sums}
        )
        TenantKindCost.objects.filter(kind=kind).delete()
        FairShareNode.objects.update(estimate_us=microseconds)
