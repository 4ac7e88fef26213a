"""Regions of a tenant's data: jobs about it run only where both the data's label and the tenant allow it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_noop

from scheduling.models import RegionLabel
from scheduling.regions.exceptions import RegionsJustChangedError
from scheduling.regions.service import enforce_regions
from tenants.context import all_tenants

CHANGE_SECONDS = 5.0
_LONG_AGO = datetime.fromtimestamp(0, UTC)
_CAUSE = gettext_noop("the regions of its data have changed")


def label_data(
    *, tenant_id: UUID, subject: UUID, home: str = "", allowed: Sequence[str] = (), has_jobs: bool = True
) -> None:
    """Set the regions in which jobs about data of the tenant may run; empty: those of the tenant.

    Call it in the transaction of the change, in the scope of the tenant. Jobs about the data that were dispatched
    elsewhere and have not begun become available again, and a reroute moves waiting jobs; ``has_jobs``: False for new
    data, which no job is about. Raise RegionsJustChangedError within `CHANGE_SECONDS` of the tenant's last change.
    """
    rows = RegionLabel.objects.filter(tenant_id=tenant_id)
    if not (home or allowed or rows.filter(subject=subject).exists()):
        return
    # No tick runs during a change, so a tenant must not make many.
    since = Now() - timedelta(seconds=CHANGE_SECONDS)
    if has_jobs and any(
        row.is_new for row in rows.select_for_update(no_key=True).annotate(is_new=Q(changed_at__gt=since))
    ):
        raise RegionsJustChangedError(retry_after_seconds=math.ceil(CHANGE_SECONDS))
    at: Any = Now() if has_jobs else _LONG_AGO
    values = {"home_region": home, "allowed_regions": list(allowed), "changed_at": at}
    RegionLabel.objects.update_or_create(tenant_id=tenant_id, subject=subject, defaults=values)
    if has_jobs:
        # Ticks, dispatched jobs and reroutes are of all tenants.
        with all_tenants(has_savepoint=False):
            enforce_regions(tenant_id=tenant_id, cause=_CAUSE)


def remove_label(*, tenant_id: UUID, subject: UUID) -> None:
    """Delete the label of data that no longer exist; jobs about them may then run wherever the tenant allows it."""
    RegionLabel.objects.filter(tenant_id=tenant_id, subject=subject).delete()
