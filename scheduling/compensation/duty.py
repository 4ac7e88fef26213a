"""Duty of a dispatcher that compensates: it plans for ended owners, submits the jobs, and records how they ended.

Each turn is one transaction under one lock. The submission of a job and its record commit together, so a kill neither
repeats nor omits a compensation.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.contrib.postgres.functions import TransactionNow
from django.db import InterfaceError, OperationalError
from django.db.models.functions import Now

from scheduling.compensation.models import Compensation
from scheduling.dispatch.leadership import try_to_lead
from scheduling.jobs.batches.completion import MemberCompensation
from scheduling.jobs.batches.firing import wait_of
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Batch, Job
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.database.locks import LockClass
from tenants.database.prepared import execute, fetch_all
from tenants.database.sql import load_sql
from tenants.encryption.fields import sealed_field
from tenants.exceptions import DomainError

logger = logging.getLogger(__name__)

_SQL = load_sql(__file__)
COMPENSATION_ACTOR = Actor(kind="system", id="compensation", label="compensation")
COMPENSATION_SECONDS = 0.5
# Compensations that one turn begins, and those of one batch that run at once.
TURN_LIMIT, AT_ONCE = 100, 20
BATCHES_LIMIT = 10
State = Compensation.State


def compensate() -> int:
    """Take one turn; return how many jobs were submitted, 0 while another dispatcher does the same."""
    with acting_as(COMPENSATION_ACTOR), all_tenants():
        if not try_to_lead(LockClass.COMPENSATIONS):
            return 0
        for tenant_id, batch_id in _ended_batches():
            with tenant_context(tenant_id):
                plan_batch(batch_id)
        for name in ("forget_succeeded", "activate", "collect"):
            execute(_SQL[name], {})
        due = fetch_all(_SQL["find_next"], {"at_once": AT_ONCE, "limit": TURN_LIMIT})
        return sum(_begin(one.tenant_id, one.compensation_id) for one in due)


def _ended_batches() -> list[tuple[UUID, UUID]]:
    rows = Batch.objects.filter(compensate__isnull=False, ended_at__isnull=False, compensation_planned_at=None)
    return list(rows.order_by("pk").values_list("tenant_id", "pk")[:BATCHES_LIMIT])


def plan_batch(batch_id: UUID) -> None:
    """Store what undoes the members of an ended batch, unless all were completed.

    A member that has started and not completed may have had its effect, so it is compensated too.
    """
    batch = Batch.objects.select_for_update(no_key=True).get(pk=batch_id)
    Batch.objects.filter(pk=batch_id).update(compensation_planned_at=TransactionNow())
    if batch.compensate is None or batch.state == "completed":
        return
    undo = MemberCompensation.read(batch.compensate)
    members = Job.objects.filter(batch_id=batch_id, started_at__isnull=False)
    Compensation.objects.bulk_create(_row(batch, undo, member) for member in members.iterator())


def _row(batch: Batch, undo: MemberCompensation, member: Job) -> Compensation:
    payload = undo.payload_for({"job": str(member.pk), "state": member.state, "result": member.result})
    return Compensation(
        tenant_id=batch.tenant_id, owner_type=Compensation.Owner.BATCH, owner_id=batch.pk, work=str(member.pk),
        kind=undo.kind, payload=payload, max_retries=undo.max_retries, state=State.PENDING,
        done_at=member.finished_at or Now(),
    )  # fmt: skip


def _begin(tenant_id: UUID, compensation_id: UUID) -> int:
    with tenant_context(tenant_id):
        row = Compensation.objects.select_related("tenant__plan").get(pk=compensation_id)
        rows = Compensation.objects.filter(pk=row.pk)
        request = JobRequest(
            kind=row.kind,
            payload=row.payload or {},
            max_retries=row.max_retries,
            meta={"compensates": f"{row.owner_type}:{row.owner_id}"},
        )
        try:
            job = submit_job(tenant=row.tenant, request=request).job
        except (OperationalError, InterfaceError):
            raise  # a fault of the database: the whole turn is repeated
        except DomainError as refusal:
            wait = wait_of(refusal)
            error = sealed_field(Compensation, "error").ready(
                str(refusal), tenant_id=tenant_id, row_id=row.job_id or row.pk
            )
            if wait is None:
                rows.update(state=State.NEEDS_ATTENTION, error=error)
            else:
                rows.update(due_at=TransactionNow() + timedelta(seconds=wait), error=error)
            return 0
        rows.update(state=State.RUNNING, job_id=job.pk, due_at=None, error="")
    return 1
