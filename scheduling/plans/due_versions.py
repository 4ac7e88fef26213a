"""Duty of the dispatchers that applies versions of plans scheduled for a later time."""

from __future__ import annotations

from scheduling.dispatch.leadership import try_to_lead
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.versions.registry import versioned


def apply_due_versions() -> int:
    """Apply the scheduled versions whose time has come; return how many. One dispatcher at a time does it."""
    with all_tenants():
        if not try_to_lead(LockClass.VERSIONS):
            return 0
        return sum(kind.apply_due() for kind in versioned().values())
