"""Duty of the dispatchers that applies scheduled versions of plans."""

from __future__ import annotations

from scheduling.dispatch.leadership import try_to_lead
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.versions.registry import versioned


def apply_due_versions() -> int:
    """Apply the versions whose time has come and return their number; one dispatcher at a time does it."""
    with all_tenants():
        if not try_to_lead(LockClass.VERSIONS):
            return 0
        return sum(kind.apply_due() for kind in versioned().values())
