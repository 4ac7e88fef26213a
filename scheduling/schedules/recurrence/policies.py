"""What becomes of fires that are due: on time, missed, scattered, and beside a run that has not ended."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

# Later than this a fire counts as missed: a dispatcher was away, and the schedule says what then.
GRACE = timedelta(seconds=60)
# Most missed fires that `all` makes up for, and that are recorded at all; the newest ones.
CATCH_UP_LIMIT = 100


class CatchUpPolicy(StrEnum):
    """What happens to fires that nobody was there to make."""

    NONE = "none"
    LATEST = "latest"
    ALL = "all"


class OverlapPolicy(StrEnum):
    """What a fire does while a run of the same schedule has not ended."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE_ONE = "queue_one"
    CANCEL_PREVIOUS = "cancel_previous"


@dataclass(frozen=True, slots=True)
class Due:
    """Fire times that are to be made now, and those that are given up; each oldest first."""

    made: tuple[datetime, ...]
    missed: tuple[datetime, ...]


def sort_due(times: Sequence[datetime], *, now: datetime, policy: CatchUpPolicy) -> Due:
    """Divide due fire times (ascending): those on time are always made, of the missed what the policy says."""
    missed = [time for time in times if now - time > GRACE]
    on_time = times[len(missed) :]
    caught_up = {CatchUpPolicy.NONE: 0, CatchUpPolicy.LATEST: 1, CatchUpPolicy.ALL: CATCH_UP_LIMIT}[policy]
    given_up = missed[: max(len(missed) - caught_up, 0)]
    return Due((*missed[len(given_up) :], *on_time), tuple(given_up))


def jitter_seconds(schedule_id: UUID, fire_time: datetime, at_most: int) -> int:
    """A delay from 0 to ``at_most`` that is the same for everybody who asks about this fire."""
    text = f"{schedule_id}:{fire_time.astimezone(UTC).isoformat()}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) % (at_most + 1)
