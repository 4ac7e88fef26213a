"""Reads of regions: what runs there, and what stops if a region is lost."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row

from scheduling.models import RegionLabel
from scheduling.regions.rules import Residency
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from tenants.models import Tenant

_READ_REGIONS = load_sql(__file__)["read_regions"]


@dataclass(frozen=True, slots=True)
class RegionFacts:
    """A region with its pools, the slots of its live workers, and its jobs of all tenants.

    If it is lost, ``slots_left`` remain elsewhere. ``stuck_tenants`` allow no other region with live slots, so their
    ``stuck_jobs`` that wait here stay until it is back; ``stuck_slugs`` names ten of these tenants at most.
    """

    name: str
    pools: Sequence[str]
    workers: int
    slots: int
    slots_left: int
    in_flight: int
    waiting: int
    stuck_tenants: int
    stuck_jobs: int
    stuck_slugs: Sequence[str]

    @property
    def movable_jobs(self) -> int:
        """Return how many of the waiting jobs may run elsewhere if routing rules send them there."""
        return max(0, self.waiting - self.stuck_jobs)


def residency_of(tenant: Tenant) -> Residency:
    """Return the regions of a tenant."""
    return Residency(tenant.home_region, tuple(tenant.allowed_regions))


def read_labels(subjects: Collection[UUID]) -> Mapping[UUID, Residency]:
    """Return the regions of those of the data ``subjects`` that have a label, in one statement; none for none."""
    if not subjects:
        return {}
    rows = RegionLabel.objects.filter(subject__in=subjects)
    return {row.subject: Residency(row.home_region, tuple(row.allowed_regions)) for row in rows}


def read_regions() -> list[RegionFacts]:
    """Return the regions of all pools by name, in one statement."""
    with all_tenants():
        return list(fetch_all(_READ_REGIONS, {"lease": platform_settings.LEASE_SECONDS}, class_row(RegionFacts)))
