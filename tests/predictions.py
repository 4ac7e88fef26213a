"""What tests let the platform believe of the cost of kinds."""

from __future__ import annotations

from scheduling.models import KindCost, SchedulingEntity, TenantKindCost
from tenants.context import all_tenants

# So many that what the test's own jobs take hardly moves the mean.
SAMPLES = 100.0


def predict(kind: str, microseconds: int) -> None:
    """Jobs of ``kind``, of whatever tenant and size, are predicted to take so long."""
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
        SchedulingEntity.objects.update(estimate_us=microseconds)
