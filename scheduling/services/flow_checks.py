"""The checks of the self-diagnosis that a submission is stored, its message published, and its job begun."""

from __future__ import annotations

import time
from collections.abc import Iterator

from django.db.models.functions import Now

from scheduling.models import PoolClock
from scheduling.selectors.standing import TICK_AGE
from scheduling.selectors.starts import STALLED_AFTER, find_stalled_pools
from scheduling.services.diagnosis_check import Check, State
from tenants.context import all_tenants
from tenants.texts import said
from tenants.write_probe import write_watch

# Before a stall is looked at again: a job that was made ready this moment is none.
SECOND_LOOK_SECONDS = 1.0


def check_flow() -> Iterator[Check]:
    """Yield whether writes, messages and starts go on."""
    yield _check_writes()
    with all_tenants():
        recent = PoolClock.objects.filter(publish_failed_at__gt=Now() - TICK_AGE).order_by("pool__name")
        refused = dict(recent.values_list("pool__name", "publish_fault"))
    yield _check_publishing(refused)
    yield _check_starts()


def _check_writes() -> Check:
    if fault := write_watch.read():
        hint = said("Make room on the disks of PostgreSQL, or point DATABASE_URL at the primary. No job is accepted.")
        return Check(said("writes"), State.FAILURE, fault, hint)
    return Check(said("writes"), State.OK, said("the database takes them"))


def _check_publishing(refused: dict[str, str]) -> Check:
    if not refused:
        return Check(said("publishing"), State.OK, said("the broker took every message of the last seconds"))
    faults = ", ".join(f"{pool} ({fault})" for pool, fault in refused.items())
    return Check(
        said("publishing"),
        State.FAILURE,
        said("the broker takes no messages of %(faults)s", {"faults": faults}),
        said("Mend what Redis answers: memory, disk, role of a replica, rights of the user. No job is lost."),
    )


def _check_starts() -> Check:
    seconds = f"{STALLED_AFTER.total_seconds():.0f}"
    stalled = set(find_stalled_pools())
    if stalled:
        time.sleep(SECOND_LOOK_SECONDS)
        stalled &= set(find_stalled_pools())
    if not stalled:
        return Check(
            said("starts"), State.OK, said("no job waits %(seconds)s s beside free slots", {"seconds": seconds})
        )
    return Check(
        said("starts"),
        State.FAILURE,
        said(
            "jobs wait, slots are free, and nothing has begun for %(seconds)s s in %(pools)s",
            {"seconds": seconds, "pools": ", ".join(sorted(stalled))},
        ),
        said("See the other checks; else restart the workers of the pool, then its dispatchers. No job is lost."),
    )
