"""Regions of a tenant's data: jobs about it run only where both the data's label and the tenant allow it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.models import RegionLabel
from scheduling.regions.service import enforce_regions
from tenants.context import all_tenants

_CAUSE = gettext_noop("the regions of its data have changed")


def label_data(*, tenant_id: UUID, subject: UUID, home: str = "", allowed: Sequence[str] = ()) -> None:
    """Set the regions in which jobs about data of the tenant may run; empty: those of the tenant.

    Call it in the transaction of the change, in the scope of the tenant. Jobs about the data that were dispatched
    elsewhere and have not begun become available again, and a reroute moves waiting jobs.
    """
    rows = RegionLabel.objects.filter(tenant_id=tenant_id, subject=subject)
    if home or allowed:
        values = {"home_region": home, "allowed_regions": list(allowed)}
        RegionLabel.objects.update_or_create(tenant_id=tenant_id, subject=subject, defaults=values)
    elif not rows.delete()[0]:
        return
    # Ticks, dispatched jobs and reroutes are of all tenants.
    with all_tenants(has_savepoint=False):
        enforce_regions(tenant_id=tenant_id, cause=_CAUSE)
