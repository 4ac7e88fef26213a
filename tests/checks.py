"""Helpers of tests that run consistency checks."""

from __future__ import annotations

from scheduling.consistency.registry import Fault, find_checks
from scheduling.consistency.walk import walk


def faults_of(*names: str) -> list[Fault]:
    """Return the confirmed faults of the checks of these names."""
    return [fault for check in find_checks(names) for look in walk(check) for fault in look.faults]
