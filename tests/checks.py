"""Helpers of tests that run consistency checks."""

from __future__ import annotations

from scheduling.consistency.registry import ConsistencyFault, find_checks
from scheduling.consistency.walk import iterate_pages


def faults_of(*names: str) -> list[ConsistencyFault]:
    """Return the confirmed faults of the checks of these names."""
    return [fault for check in find_checks(names) for look in iterate_pages(check) for fault in look.faults]
