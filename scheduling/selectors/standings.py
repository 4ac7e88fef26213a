"""How the queues stand, as a dispatcher measures it each second: what waits for their pools, and who reads them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from scheduling.fairness.balance import Load
from scheduling.models import Queue, QueueStanding

# A process reads the few rows at most once in this time, whatever it submits.
CACHED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Loads:
    """The loads by queue, and what this process has sent to each since it read them."""

    by_queue: Mapping[int, Load]
    read_at: float = field(default_factory=time.monotonic)
    sent_us: dict[int, int] = field(default_factory=dict)


_cached: Loads | None = None


def read_loads() -> Loads:
    """The loads, at most CACHED_SECONDS old beside the second between two measurements."""
    global _cached  # noqa: PLW0603 - a cache of this process
    if _cached is None or time.monotonic() - _cached.read_at > CACHED_SECONDS:
        rows = QueueStanding.objects.values_list("queue_id", "work_us", "slots")
        _cached = Loads({queue_id: Load(work_us, slots) for queue_id, work_us, slots in rows})
    return _cached


def forget_loads() -> None:
    """Read anew next time."""
    global _cached  # noqa: PLW0603
    _cached = None


def unread_since(queue: Queue) -> datetime | None:
    """Since when no live worker reads a queue that has work, or rules that point at it; None while one does."""
    standing = getattr(queue, "standing", None)
    return None if standing is None else standing.unread_since


def queues_without_consumer() -> list[QueueStanding]:
    """The queues whose alarm is on, the longest first."""
    rows = QueueStanding.objects.filter(unread_since__isnull=False).select_related("queue__pool")
    return list(rows.order_by("unread_since", "queue__name"))
