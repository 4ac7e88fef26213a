"""Receivers of the scheduling signals that write logs and count metrics; no other code depends on them."""

from __future__ import annotations

from scheduling.alerts.incidents import connect_incidents
from scheduling.observability.receivers import connect_counters, connect_log


def connect_observers() -> None:
    """Connect the receivers for logs, metrics and incidents in this process."""
    connect_log()
    connect_counters()
    connect_incidents()
