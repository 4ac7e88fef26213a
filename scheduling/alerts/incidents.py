"""Counts of what happens to the platform and is absorbed, such as rescues, of each process until they are stored."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import Any

from django.db import DatabaseError
from django.dispatch import Signal

from scheduling import signals
from scheduling.models import Execution
from tenants.context import all_tenants
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql

logger = logging.getLogger(__name__)

# Pairs of name and detail that a process keeps; more are dropped.
MOST_PAIRS = 100
# Number of occurrences within five minutes below which these are the platform's ordinary work.
LEAST = {"republished": 3, "refused": 3, "duty_failed": 3, "undone": 10}
_ADD = load_sql(__file__)["add_incidents"]
_lock = threading.Lock()
_counts: Counter[tuple[str, str]] = Counter()


def count_incident(name: str, detail: str = "", count: int = 1) -> None:
    """Count something that happened to the platform; `flush_incidents` stores it."""
    with _lock:
        if (name, detail) in _counts or len(_counts) < MOST_PAIRS:
            _counts[name, detail[:100]] += count


def flush_incidents() -> int:
    """Store the counts of this process and return how many pairs there were; keep them if the database is away."""
    with _lock:
        taken = Counter(_counts)
        _counts.clear()
    if not taken:
        return 0
    values = {
        "names": [name for name, _ in taken],
        "details": [detail for _, detail in taken],
        "counts": [*taken.values()],
    }
    try:
        with all_tenants():
            fetch_all(_ADD, values)
    except DatabaseError:
        logger.warning("alerts.incidents_kept", exc_info=True)
        with _lock:
            _counts.update(taken)
        return 0
    return len(taken)


def connect_incidents() -> None:
    """Connect receivers that count incidents to the signals."""
    plain: tuple[tuple[Signal, str, str], ...] = (
        (signals.executions_rescued, "rescued", "reason"),
        (signals.broker_emptied, "emptied", ""),
        (signals.messages_republished, "republished", ""),
        (signals.message_refused, "refused", "reason"),
        (signals.dispatch_undone, "undone", "pool"),
        (signals.tenants_left_out, "left_out", "pool_id"),
        (signals.sessions_ended, "sessions_ended", ""),
        (signals.worker_given_up, "given_up", "pool"),
        (signals.schedule_disabled, "schedule_disabled", ""),
    )
    for signal, name, detail in plain:
        signal.connect(_receiver(name, detail), weak=False, dispatch_uid=f"scheduling.incidents.{name}")
    signals.duty_ended.connect(_on_duty, dispatch_uid="scheduling.incidents.duty_failed")
    signals.executions_ended.connect(_on_ended, dispatch_uid="scheduling.incidents.crashed")


def _receiver(name: str, detail: str) -> Any:
    def receive(sender: object, *, count: int = 1, **values: Any) -> None:
        count_incident(name, str(values.get(detail, "")), count)

    return receive


def _on_duty(sender: object, *, duty: str, is_failed: bool, **_: Any) -> None:
    if is_failed:
        count_incident("duty_failed", duty)


def _on_ended(sender: object, *, executions: Any, **_: Any) -> None:
    if crashed := sum(each.outcome == Execution.Outcome.CRASHED for each in executions):
        count_incident("crashed", count=crashed)
