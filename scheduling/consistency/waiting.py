"""Checks of queue entries of waiting jobs against their jobs, and the repair that writes the right entries."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import JSONField, Value
from django.utils.translation import gettext_noop

from scheduling.consistency.registry import CheckPage, CheckRange, FaultKind, RepairOrder, StateCheck
from scheduling.consistency.walk import Table
from scheduling.dispatch.wakes import wake_tenants
from scheduling.jobs.fair_share_nodes import node_ids
from scheduling.jobs.lifecycle import TERMINAL_STATES, JobState
from scheduling.jobs.storing import actor_label
from scheduling.models import Job, JobEvent
from tenants.context import current_actor, tenant_context
from tenants.database.clock import read_clock
from tenants.database.prepared import execute
from tenants.database.sql import load_sql
from tenants.models import Tenant

PLACE_WITHOUT_JOB = FaultKind(
    "place_without_job",
    gettext_noop("A queue entry belongs to no job."),
    "Removes the entry.",
)
PLACE_OF_ANOTHER_STATE = FaultKind(
    "place_of_another_state",
    gettext_noop(
        "A job has a queue entry that does not match its state; for example, it has ended but is still "
        "listed as waiting."
    ),
    "Removes the entry; the job keeps its state and the entry that its state requires.",
)
PLACE_IN_WRONG_LINE = FaultKind(
    "place_in_wrong_line",
    gettext_noop("A job's queue entry has another tenant, queue, fair key or rank than the job."),
    "Moves the entry to the job's own tenant, queue and fair key.",
)
DEADLINE_OF_ENDED_JOB = FaultKind(
    "deadline_of_ended_job", gettext_noop("A deadline is stored for a job that has ended."), "Removes the deadline."
)
UNIQUE_KEY_OF_ENDED_JOB = FaultKind(
    "unique_key_of_ended_job",
    gettext_noop("A unique key is stored for a job that has ended or does not exist."),
    "Removes the key.",
)
REPAIRED_EVENT = "job.repaired"
_SQL = load_sql(__file__)
_LOCK_JOBS = _SQL["lock_jobs"]
_PUT = (_SQL["put_ready"], _SQL["put_due"], _SQL["put_suspended"])


@dataclass(frozen=True, slots=True)
class WaitingTable:
    """Table of queue entries (called places) of waiting jobs, and the states of the jobs that belong in it."""

    table: Table
    states: Sequence[str]

    @property
    def name(self) -> str:
        """Return the last word of the table's name, with which the names of its SQL statements end."""
        return self.table.name.rpartition("_")[2]

    def look(self, piece: CheckRange) -> CheckPage:
        """Find queue entries without a job, of a job in another state, or in a wrong queue or fair key."""
        return self.table.look(_SQL[f"look_{self.name}"], piece, parameters={"states": list(self.states)})

    def repair(self, order: RepairOrder) -> None:
        """Delete wrong queue entries; move an entry in a wrong queue or fair key to the right one."""
        is_in_wrong_line = order.code == PLACE_IN_WRONG_LINE.code
        wrong = _SQL[f"displace_{self.name}"] if is_in_wrong_line else _SQL[f"remove_{self.name}"]
        values = {**self.table.values_of(order.piece), "job_ids": order.subjects, "states": list(self.states)}
        for statement in (_SQL[f"lock_{self.name}"], _LOCK_JOBS, wrong):
            execute(statement, values, is_planned=True)
        if is_in_wrong_line and order.tenant_id is not None:
            restore_waiting_rows(order.tenant_id, order.subjects)


def restore_waiting_rows(tenant_id: UUID, job_ids: Sequence[str]) -> None:
    """Write the queue entries that the states of a tenant's locked jobs require, and let a tick read them.

    Counters are not changed, because they may count the jobs already; the check of counters runs after all queue
    entries are right.
    """
    with tenant_context(tenant_id):
        tenant = Tenant.objects.get(pk=tenant_id)
        node_ids(tenant, set(Job.objects.filter(pk__in=job_ids).values_list("queue_id", "fair_key")))
        for statement in _PUT:
            execute(statement, {"job_ids": list(job_ids)}, is_planned=True)
        wake_tenants(tenant_ids=[tenant_id])


def append_repair_events(job_ids: Collection[UUID | str], *, code: str) -> None:
    """Append an event with the job's present state to the history of each of these jobs."""
    actor, at = current_actor(), read_clock()
    JobEvent.objects.bulk_create(
        JobEvent(
            tenant_id=job.tenant_id,
            job_id=job.pk,
            at=at,
            name=REPAIRED_EVENT,
            state=job.state,
            actor=actor_label(actor),
            request_id=actor.request_id,
            # In plain: a repair needs no key.
            data=Value({"fault": code}, JSONField()),
        )
        for job in Job.objects.filter(pk__in=job_ids).only("id", "tenant_id", "state")
    )


_BY_JOB = ("job_id",)
_OPEN = sorted(state.value for state in JobState if state not in TERMINAL_STATES)
PLACES: Mapping[str, WaitingTable] = {
    "ready": WaitingTable(Table("scheduling_job_ready", ("entity_id", "rank", "job_id")), [JobState.AVAILABLE.value]),
    "held": WaitingTable(Table("scheduling_job_held", _BY_JOB), [JobState.AVAILABLE.value]),
    "due": WaitingTable(Table("scheduling_job_due", _BY_JOB), [JobState.SCHEDULED.value, JobState.RETRYABLE.value]),
    "suspended": WaitingTable(Table("scheduling_job_suspended", _BY_JOB), [JobState.SUSPENDED.value]),
    "deadlines": WaitingTable(Table("scheduling_job_deadline", _BY_JOB), _OPEN),
    "unique_keys": WaitingTable(Table("scheduling_unique_key", _BY_JOB), _OPEN),
}
_OF_ALL = (PLACE_WITHOUT_JOB, PLACE_OF_ANOTHER_STATE)
_KINDS = {
    "ready": (*_OF_ALL, PLACE_IN_WRONG_LINE),
    "held": (*_OF_ALL, PLACE_IN_WRONG_LINE),
    "due": (*_OF_ALL, PLACE_IN_WRONG_LINE),
    "suspended": _OF_ALL,
    "deadlines": (DEADLINE_OF_ENDED_JOB,),
    "unique_keys": (UNIQUE_KEY_OF_ENDED_JOB,),
}
CHECKS = tuple(StateCheck(name, _KINDS[name], place.look, place.repair) for name, place in PLACES.items())
