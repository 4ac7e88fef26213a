"""How a tenant stands as a submission begins: what waits, what it has used, its own lines, and what drains.

A tenant that submits job after job is asked for ten times a second and not for each: what was found serves its next
submissions to this process for a moment, where there is so much room that nothing hangs on a few jobs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from scheduling.conf import MAX_BULK_JOBS
from scheduling.limits import WORKER_SECONDS
from scheduling.services.drains import DRAINS_OF_SUBMISSIONS, Drains
from tenants.context import has_transaction_begun
from tenants.limits import month_of
from tenants.prepared import prepared_cursor
from tenants.shared_cache import kept_seconds

# How old what serves a submission may be; nothing is kept where configuration is not.
KEPT_SECONDS = 0.1
# So many jobs one process submits by what it has found once.
MOST_JOBS = MAX_BULK_JOBS
# Enough for all that submit within a moment; then all are asked for again.
_MOST_TENANTS = 10_000

# The tick folds wakes into the entities; what it has not folded yet counts too.
_STANDING = f"""
    SELECT now(), line.waiting
        + (SELECT coalesce(sum(waiting_delta), 0) FROM scheduling_wake WHERE tenant_id = %(tenant_id)s),
        (SELECT coalesce(sum(amount), 0)::bigint FROM tenants_tenantusage WHERE tenant_id = %(tenant_id)s
            AND key = %(key)s AND period = date_trunc('month', now() AT TIME ZONE 'UTC')::date),
        line.queue_ids, line.ids, ({DRAINS_OF_SUBMISSIONS})
    FROM (SELECT coalesce(sum(waiting + keys_waiting), 0) AS waiting, array_agg(queue_id) AS queue_ids,
            array_agg(id) AS ids
        FROM scheduling_schedulingentity WHERE tenant_id = %(tenant_id)s AND parent_id IS NULL) AS line
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class TenantStanding:
    """At ``now`` by the database's clock.

    ``waiting`` jobs, ``used_us`` of worker time in this month, and the tenant's own lines by their queues, without
    those of fair keys.
    """

    now: datetime
    waiting: int
    used_us: int
    lines: Mapping[int, int]
    drains: Drains


@dataclass(slots=True)
class _Kept:
    """What was asked for and answered when, by this process's clock, and how many jobs were submitted by it since."""

    standing: TenantStanding
    asked_at: float
    answered_at: float
    jobs: int = 0

    def serve(self, wanted: int, ample: int) -> TenantStanding | None:
        """How the tenant stands for ``wanted`` jobs more; None where that is to be asked for."""
        now, submitted = time.monotonic(), self.jobs + wanted
        is_enough = submitted <= MOST_JOBS and self.standing.waiting + submitted < ample
        if not is_enough or now - self.asked_at >= KEPT_SECONDS:
            return None
        moment = self.standing.now + timedelta(seconds=now - self.answered_at)
        if month_of(moment) != month_of(self.standing.now):
            # What was used is of the month before.
            return None
        standing = replace(self.standing, now=moment, waiting=self.standing.waiting + self.jobs)
        self.jobs = submitted
        return standing


_kept: dict[UUID, _Kept] = {}


def read_standing(tenant_id: UUID) -> TenantStanding:
    """As it is now, by one statement in the tenant's transaction."""
    with prepared_cursor() as cursor:
        cursor.execute(_STANDING, {"tenant_id": tenant_id, "key": WORKER_SECONDS.key})
        now, waiting, used_us, queue_ids, ids, drains = cursor.fetchone()
    lines = dict(zip(queue_ids or (), ids or (), strict=True))
    return TenantStanding(now, int(waiting), used_us, lines, Drains.of(now, drains or ()))


def standing_of(tenant_id: UUID, *, wanted: int, ample: int) -> TenantStanding:
    """How the tenant stands for ``wanted`` jobs more; a moment ago where fewer than ``ample`` jobs would wait then."""
    if not kept_seconds():
        return read_standing(tenant_id)
    kept = _kept.get(tenant_id)
    if kept is not None and (standing := kept.serve(wanted, ample)) is not None:
        return standing
    # What a transaction has written itself, others do not find, and nobody if it is taken back.
    is_alone, asked_at = not has_transaction_begun(), time.monotonic()
    standing = read_standing(tenant_id)
    if is_alone and not standing.drains.by_target:
        _keep(tenant_id, _Kept(standing, asked_at, time.monotonic(), wanted))
    return standing


def _keep(tenant_id: UUID, found: _Kept) -> None:
    kept = _kept.get(tenant_id)
    if kept is not None and kept.standing.now >= found.standing.now:
        # Another thread has asked later, and was answered before.
        return
    if len(_kept) >= _MOST_TENANTS:
        _kept.clear()
    _kept[tenant_id] = found
