"""Observers of the domain's signals, which log and count; nothing depends on them."""

from __future__ import annotations

from scheduling.observability.receivers import connect_counters, connect_log


def connect_observers() -> None:
    """Connect the observers to the signals of this process."""
    connect_log()
    connect_counters()
