"""Versions of plans take effect at their time: a dispatcher's duty."""

from __future__ import annotations

from scheduling.services.cfs_plans import CFS_PLANS
from scheduling.services.leadership import lead
from tenants.context import all_tenants
from tenants.locks import LockClass
from tenants.services.plans import PLANS


def apply_due_versions() -> int:
    """Put in effect whose time has come; how many. Any number of dispatchers may call this, and one does it."""
    with all_tenants():
        if not lead(LockClass.PLAN_VERSIONS):
            return 0
        return PLANS.apply_due() + CFS_PLANS.apply_due()
