"""Reroute: moves waiting jobs to the queues that the current routing rules give, while the platform runs.

A turn (a short transaction) reads waiting jobs from where the last turn stopped, moves misplaced ones with a few
statements, and stores its position, so that any process can continue. A queue entry is locked before its job's row, as
everywhere; an entry that another session has locked is left for the next pass over the jobs. Dispatched and running
jobs stay in their queue.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from psycopg.rows import class_row, scalar_row

from scheduling.bulk.moves import TABLES, WaitingPosition, announce_moves, move_places
from scheduling.bulk.queries import FrozenJobs
from scheduling.bulk.records import create_operation, end_operation
from scheduling.dispatch.broker import wake_on_commit
from scheduling.jobs.filters import JobFilter
from scheduling.jobs.queries import CappedCount
from scheduling.jobs.routing.service import Routes
from scheduling.models import BulkOperation, Job, Queue
from scheduling.regions.rules import Residency
from tenants.audit.service import suppress_nested_entries
from tenants.context import require_scope
from tenants.database.clock import read_clock, read_moment
from tenants.database.locks import LockClass
from tenants.database.prepared import execute, fetch_all, fetch_one
from tenants.database.sql import load_sql
from tenants.encryption.fields import open_readable_rows
from tenants.exceptions import FieldInvalidError
from tenants.tenancy.pausing import require_reason

# Per turn. A tick waits at most 200 ms for locked rows, then skips them.
MOVE_ROWS = 1_000
LOOK_ROWS = 5_000
# With their payloads, which may be large.
PAYLOAD_ROWS = 200
TURN_SECONDS = 0.1
# Submissions with the old routes that were open at the request have committed by then.
SETTLE_SECONDS = 5.0
MAX_CAUSE = 500
# Jobs that became ready after the first scan of "ready" and before that of their former table are found by the second.
_PHASES = (*TABLES, "again")
_TABLE_OF = {phase: "ready" if phase == "again" else phase for phase in _PHASES}
_OF_READY = ("ready", "again")
# Before every row, in the key order of each scan.
_BEGINNING = (0, -(2**63), str(UUID(int=0)))
_SQL = load_sql(__file__)
_LOCK_REROUTES, _COUNT_WAITING = _SQL["lock_reroutes"], _SQL["count_waiting"]
_LOOK = {phase: _SQL[f"look_{table}"] for phase, table in _TABLE_OF.items()}


@dataclass(frozen=True, slots=True)
class Waiting(WaitingPosition):
    """Queue entry of a job with the facts that routing needs; ``is_waiting`` is whether the job still waits."""

    kind: str
    tier_id: str
    home_region: str
    allowed_regions: Sequence[str]
    label_home: str
    label_regions: Sequence[str]
    is_waiting: bool

    @property
    def residency(self) -> Residency:
        """Return where the job may run."""
        of_tenant = Residency(self.home_region, tuple(self.allowed_regions))
        return of_tenant.of_data(Residency(self.label_home, tuple(self.label_regions)))

    def place(self, phase: str) -> list[Any]:
        """Return the key of this entry; the next read in this phase begins after it."""
        return [self.entity_id, self.rank, str(self.job_id)] if phase in _OF_READY else [str(self.job_id)]


@dataclass(slots=True)
class RerouteCursor:
    """Where the next turn begins, stored in the operation's row. One pass over the waiting jobs covers all phases."""

    phase: str = _PHASES[0]
    after: list[Any] = field(default_factory=list)
    pass_began_at: str | None = None
    found: int = 0
    passes: int = 0
    extended_at: str | None = None

    @property
    def is_in_pass(self) -> bool:
        return self.pass_began_at is not None


def start_reroute(*, reason: str) -> BulkOperation:
    """Create an operation that moves waiting jobs of all tenants to the queues of the current routing rules.

    Without it, changed rules apply only to new jobs. Raise ReasonRequiredError, or FieldInvalidError in the context of
    one tenant.
    """
    reason = require_reason(reason)
    if not require_scope().is_all_tenants:
        raise FieldInvalidError("A reroute covers the jobs of all tenants: do not name a tenant.")
    with transaction.atomic():
        return _replace_open(reason)


def request_reroute(*, cause: str) -> None:
    """Create a reroute over all tenants that starts when this transaction commits; write no audit entry for it."""
    with suppress_nested_entries():
        _replace_open(cause[:MAX_CAUSE])
    wake_on_commit()


def extend_reroute(*, cause: str) -> None:
    """Let an unfinished reroute look at all waiting jobs once more after now; create one if there is none.

    It goes on from where it is, so that many changes do not keep it from moving jobs.
    """
    execute(_LOCK_REROUTES, {"reroute_lock": LockClass.REROUTE.value})
    rows = BulkOperation.objects.select_for_update(no_key=True)
    found = rows.filter(operation=BulkOperation.Operation.REROUTE, finished_at__isnull=True).first()
    if found is None:
        request_reroute(cause=cause)
        return
    found.position |= {"extended_at": read_moment().isoformat()}
    found.save(update_fields=["position"])
    wake_on_commit()


def _replace_open(reason: str) -> BulkOperation:
    """Create the reroute and abort an unfinished earlier one, which worked with the former rules."""
    execute(_LOCK_REROUTES, {"reroute_lock": LockClass.REROUTE.value})
    waiting = fetch_one(_COUNT_WAITING, row_factory=scalar_row)
    rows = BulkOperation.objects.select_for_update(no_key=True)
    for former in rows.filter(operation=BulkOperation.Operation.REROUTE, finished_at__isnull=True):
        with suppress_nested_entries():
            end_operation(former, BulkOperation.State.ABORTED)
    return create_operation(
        FrozenJobs(JobFilter(), read_clock(), None),
        CappedCount(waiting, is_capped=False),
        operation=BulkOperation.Operation.REROUTE,
        asked_filter="",
        reason=reason,
    )


def take_steps(operation: BulkOperation) -> bool:
    """Run the steps of one turn; return True when the reroute is complete.

    It is complete when a pass that began `SETTLE_SECONDS` after the start found nothing to move: submissions that used
    the former rules have committed by then. The operation rests between the first pass and that time.
    """
    at, now, until = RerouteCursor(**operation.position), read_moment(), time.monotonic() + TURN_SECONDS
    if at.pass_began_at is None:
        at.pass_began_at, at.found = now.isoformat(), 0
    asked_at = operation.created_at if at.extended_at is None else datetime.fromisoformat(at.extended_at)
    began_at, settled_at = datetime.fromisoformat(at.pass_began_at), asked_at + _settle_time()
    routes = Routes.load_all()
    moved = _take_step(operation, at, routes)
    while not moved and at.is_in_pass and time.monotonic() < until:
        moved = _take_step(operation, at, routes)
    operation.changed += moved
    operation.position = asdict(at)
    if moved:
        # Wake the next turn at once, and a tick that reads the new places.
        announce_moves(moved)
    if at.is_in_pass:
        return False
    if settled_at > now:
        operation.resume_at = settled_at
    return began_at >= settled_at and not at.found


def _settle_time() -> timedelta:
    return timedelta(seconds=SETTLE_SECONDS)


def _take_step(operation: BulkOperation, at: RerouteCursor, routes: Mapping[str, Routes]) -> int:
    """Read the next waiting jobs and move misplaced ones, or go to the next phase; return the number of moved jobs."""
    reads_payloads = any(rule.condition for route in routes.values() for rule in route.rules)
    rows = _look(at, is_narrow=reads_payloads)
    if not rows:
        _end_phase(at)
        return 0
    payloads = _read_payloads(rows, routes) if reads_payloads else {}
    wanted: list[tuple[Waiting, int]] = []
    for row in rows:
        target = _better_queue(row, routes, payloads.get(row.job_id, {}))
        if target is not None:
            wanted.append((row, target.pk))
        at.after = row.place(at.phase)
        operation.seen += row.is_waiting
        if len(wanted) == MOVE_ROWS:
            break
    at.found += len(wanted)
    return len(move_places(wanted, [_TABLE_OF[at.phase]], cause=operation.reason))


def _better_queue(row: Waiting, routes: Mapping[str, Routes], payload: Mapping[str, Any] | None) -> Queue | None:
    # A job with an unreadable payload stays in its queue.
    if not row.is_waiting or row.tier_id not in routes or payload is None:
        return None
    return routes[row.tier_id].within(row.residency).better_queue(row.kind, payload, row.queue_id)


def _look(at: RerouteCursor, *, is_narrow: bool) -> list[Waiting]:
    """Return the next waiting jobs of the phase; fewer at once if their payloads must be decrypted (``is_narrow``)."""
    names = ("after_entity", "after_rank", "after_job") if at.phase in _OF_READY else ("after_job",)
    after = dict(zip(names, at.after or _BEGINNING[-len(names) :], strict=True))
    limit = PAYLOAD_ROWS if is_narrow and at.phase != "suspended" else LOOK_ROWS
    rows: list[Waiting] = fetch_all(_LOOK[at.phase], {**after, "limit": limit}, class_row(Waiting))
    return rows[:PAYLOAD_ROWS] if is_narrow else rows


def _read_payloads(rows: Sequence[Waiting], routes: Mapping[str, Routes]) -> Mapping[UUID, Any]:
    asked = [
        row.job_id
        for row in rows
        if row.is_waiting and row.tier_id in routes and routes[row.tier_id].depends_on_payload(row.kind)
    ]
    if not asked:
        return {}
    rows_with_payloads = Job.objects.filter(pk__in=asked).values_list("pk", "tenant_id", "payload")
    return dict.fromkeys(asked) | dict(open_readable_rows(Job, "payload", rows_with_payloads))


def _end_phase(at: RerouteCursor) -> None:
    following = _PHASES.index(at.phase) + 1
    at.after = []
    if following < len(_PHASES):
        at.phase = _PHASES[following]
    else:
        at.phase, at.passes, at.pass_began_at = _PHASES[0], at.passes + 1, None
