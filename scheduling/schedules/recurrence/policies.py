"""Policies for due fires: on time, missed, jittered or overlapping."""

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
    """Policy for missed fires."""

    NONE = "none"
    LATEST = "latest"
    ALL = "all"


class OverlapPolicy(StrEnum):
    """Policy for a fire during an unfinished run of its schedule."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE_ONE = "queue_one"
    CANCEL_PREVIOUS = "cancel_previous"


@dataclass(frozen=True, slots=True)
class Due:
    """Fire times to submit now, and those given up; each oldest first."""

    made: tuple[datetime, ...]
    missed: tuple[datetime, ...]


def sort_due(times: Sequence[datetime], *, now: datetime, policy: CatchUpPolicy) -> Due:
    """Return due fire times (ascending) as those to submit, which include all on time, and those given up by the
    policy.
    """
    missed = [time for time in times if now - time > GRACE]
    on_time = times[len(missed) :]
    caught_up = {CatchUpPolicy.NONE: 0, CatchUpPolicy.LATEST: 1, CatchUpPolicy.ALL: CATCH_UP_LIMIT}[policy]
    given_up = missed[: max(len(missed) - caught_up, 0)]
    return Due((*missed[len(given_up) :], *on_time), tuple(given_up))


def jitter_seconds(schedule_id: UUID, fire_time: datetime, at_most: int) -> int:
    """Return a delay from 0 to ``at_most`` that is constant for this fire."""
    text = f"{schedule_id}:{fire_time.astimezone(UTC).isoformat()}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) % (at_most + 1)
