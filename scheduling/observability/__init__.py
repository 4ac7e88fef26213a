"""Observers of the domain's signals, which log and count; nothing depends on them."""

from __future__ import annotations

from scheduling.observability import event_log, metrics


def connect_observers() -> None:
    """Connect the observers to the signals of this process."""
    event_log.connect()
    metrics.connect()
