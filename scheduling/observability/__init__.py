"""Observers of the domain's signals: they log and count, and nothing depends on them."""

from __future__ import annotations

from scheduling.observability import event_log, metrics


def observe() -> None:
    """Let the observers hear the signals of this process."""
    event_log.connect()
    metrics.connect()
