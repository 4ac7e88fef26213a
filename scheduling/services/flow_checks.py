"""The checks of the self-diagnosis that a submission is stored, its message published, its job begun and opened."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from django.db.models.functions import Now
from django.utils.translation import gettext

from scheduling.models import PoolClock
from scheduling.selectors.missing_keys import MissingKey, find_missing_keys
from scheduling.selectors.standing import TICK_AGE
from scheduling.selectors.starts import STALLED_AFTER, find_stalled_pools
from scheduling.services.diagnosis_check import Check, State
from tenants.context import all_tenants
from tenants.write_probe import write_watch

# Before a stall is looked at again: a job that was made ready this moment is none.
SECOND_LOOK_SECONDS = 1.0


def check_flow() -> Iterator[Check]:
    """Yield whether writes, messages and starts go on."""
    yield _check_writes()
    with all_tenants():
        recent = PoolClock.objects.filter(publish_failed_at__gt=Now() - TICK_AGE).order_by("pool__name")
        refused = dict(recent.values_list("pool__name", "publish_fault"))
        missing = find_missing_keys()
    yield _check_publishing(refused)
    yield _check_starts()
    yield _check_keys(missing)


def _check_writes() -> Check:
    if fault := write_watch.read():
        hint = gettext(
            "Make room on the disks of PostgreSQL, or point DATABASE_URL at the primary. No job is accepted."
        )
        return Check(gettext("writes"), State.FAILURE, fault, hint)
    return Check(gettext("writes"), State.OK, gettext("the database takes them"))


def _check_publishing(refused: dict[str, str]) -> Check:
    if not refused:
        return Check(gettext("publishing"), State.OK, gettext("the broker took every message of the last seconds"))
    faults = ", ".join(f"{pool} ({fault})" for pool, fault in refused.items())
    return Check(
        gettext("publishing"),
        State.FAILURE,
        gettext("the broker takes no messages of %(faults)s") % {"faults": faults},
        gettext("Mend what Redis answers: memory, disk, role of a replica, rights of the user. No job is lost."),
    )


def _check_starts() -> Check:
    seconds = f"{STALLED_AFTER.total_seconds():.0f}"
    stalled = set(find_stalled_pools())
    if stalled:
        time.sleep(SECOND_LOOK_SECONDS)
        stalled &= set(find_stalled_pools())
    if not stalled:
        return Check(
            gettext("starts"),
            State.OK,
            gettext("no job waits %(seconds)s s beside free slots or without a worker") % {"seconds": seconds},
        )
    return Check(
        gettext("starts"),
        State.FAILURE,
        gettext("jobs wait, and none has begun for %(seconds)s s beside free slots or without a worker in %(pools)s")
        % {"seconds": seconds, "pools": ", ".join(sorted(stalled))},
        gettext("See the other checks; else restart the workers of the pool, then its dispatchers. No job is lost."),
    )


def _check_keys(missing: Sequence[MissingKey]) -> Check:
    name = gettext("data keys")
    if not missing:
        return Check(name, State.OK, gettext("no job waits for one"))
    waits = [
        gettext("%(count)s jobs of %(tenant)s wait for data key %(key)s")
        % {"count": each.jobs, "tenant": each.tenant, "key": each.key_id}
        for each in missing
    ]
    hint = gettext(
        "Restore the row of tenants_tenantdatakey, or the master key in ENCRYPTION_MASTER_KEYS: the jobs run again"
        " within ten minutes. Or cancel them, or set DATA_KEY_MISSING_HOURS."
    )
    return Check(name, State.FAILURE, "; ".join(waits), hint)
