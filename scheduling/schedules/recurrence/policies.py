"""Policies for fires that are missed or overlap, and the jitter of fire times."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

# A later fire counts as missed: no dispatcher ran, and the schedule's policy decides.
GRACE = timedelta(seconds=60)
# Most missed fires that `all` catches up, and that are recorded; the newest ones.
CATCH_UP_LIMIT = 100


class CatchUpPolicy(StrEnum):
    """Which missed fires are submitted late: none, the latest, or all up to ``CATCH_UP_LIMIT``."""

    NONE = "none"
    LATEST = "latest"
    ALL = "all"


class OverlapPolicy(StrEnum):
    """What to do with a fire while an earlier job of the same schedule is unfinished."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE_ONE = "queue_one"
    CANCEL_PREVIOUS = "cancel_previous"


@dataclass(frozen=True, slots=True)
class Due:
    """Due times of a schedule: ``made`` are submitted now, ``missed`` are skipped. Both are sorted, oldest first."""

    made: tuple[datetime, ...]
    missed: tuple[datetime, ...]


def sort_due(times: Sequence[datetime], *, now: datetime, policy: CatchUpPolicy) -> Due:
    """Split ascending due times by the catch-up policy. Those at most ``GRACE`` late are always submitted."""
    missed = [time for time in times if now - time > GRACE]
    on_time = times[len(missed) :]
    caught_up = {CatchUpPolicy.NONE: 0, CatchUpPolicy.LATEST: 1, CatchUpPolicy.ALL: CATCH_UP_LIMIT}[policy]
    given_up = missed[: max(len(missed) - caught_up, 0)]
    return Due((*missed[len(given_up) :], *on_time), tuple(given_up))


def jitter_seconds(schedule_id: UUID, fire_time: datetime, at_most: int) -> int:
    """Return a pseudo-random delay from 0 to ``at_most`` seconds that is always the same for this fire."""
    text = f"{schedule_id}:{fire_time.astimezone(UTC).isoformat()}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) % (at_most + 1)
