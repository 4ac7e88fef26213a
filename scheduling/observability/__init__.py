"""Receivers of the scheduling signals that write logs and count metrics; no other code depends on them."""

from __future__ import annotations

from scheduling.observability.receivers import connect_counters, connect_log


def connect_observers() -> None:
    """Connect the receivers for logs and metrics in this process."""
    connect_log()
    connect_counters()
