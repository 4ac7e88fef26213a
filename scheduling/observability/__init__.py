"""Receivers of the scheduling signals that write logs and count metrics; no other code depends on them."""

from __future__ import annotations

from scheduling.observability import event_log, metrics


def connect_observers() -> None:
    """Connect the receivers for logs and metrics in this process."""
    event_log.connect()
    metrics.connect()
