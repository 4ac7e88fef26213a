"""Turns of bulk operations: each is one transaction that changes a chunk of jobs and stores where the next one begins.

If the process is killed, the turn is either committed or rolled back, and any process continues from the stored
position: no job is changed twice or skipped. If several dispatchers run, only one runs a turn of an operation at a
time; the others run turns of other operations.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from psycopg.rows import scalar_row

from scheduling.bulk.actions import ActionResult, BulkAction
from scheduling.bulk.parsing import parse_action
from scheduling.bulk.queries import CHUNK_ROWS, FrozenJobs
from scheduling.bulk.records import actor_of, end_operation
from scheduling.bulk.reroute import take_steps
from scheduling.jobs.filters import parse
from scheduling.models import BulkFormer, BulkOperation, Job
from tenants.context import Scope, acting_as, all_tenants, scope_context
from tenants.database.clock import read_clock, read_moment
from tenants.database.locks import LockClass
from tenants.database.prepared import fetch_one
from tenants.database.sql import load_sql
from tenants.transactions import ConnectionLostError, session_errors

logger = logging.getLogger(__name__)

# Idle time after which a process loses its turn, and another one takes it.
TURN_IDLE_TIMEOUT_MS = 15_000
# Of the first turn, which shows progress soon.
FIRST_ROWS = 100
# Of each turn that changes payloads, which it reads and validates.
PATCHED_ROWS = 200
# Between two attempts while another process runs a turn of the operation.
BUSY_SECONDS = 0.1
# Failed turns in a row after which the operation fails.
MAX_FAILURES = 5
CHANGED_MEANWHILE = "changed_meanwhile"
_LOCK_OPERATION = load_sql(__file__)["lock_operation"]
_State = BulkOperation.State


@dataclass(frozen=True, slots=True)
class ClaimedOperation:
    """Ids of an operation that has a next turn and of its tenant, or None for all tenants."""

    id: UUID
    tenant_id: UUID | None


def open_operations() -> list[ClaimedOperation]:
    """Return the unfinished operations of all tenants whose next turn is due now, oldest first."""
    with all_tenants():
        rows = BulkOperation.objects.filter(Q(resume_at__isnull=True) | Q(resume_at__lte=Now()))
        found = rows.filter(finished_at__isnull=True).order_by("id").values_list("id", "tenant_id")
        return [ClaimedOperation(*row) for row in found]


def take_turn(opened: ClaimedOperation) -> bool:
    """Run one turn of an operation; return whether the next turn can follow at once.

    Do nothing and return False if another process runs a turn of it. A reroute that has moved nothing pauses before its
    next scan, so that ticks of the dispatcher are not delayed.
    """
    with scope_context(Scope(tenant_id=opened.tenant_id)):
        values: dict[str, Any] = {
            "operation_id": str(opened.id),
            "operation_lock": LockClass.BULK_OPERATION.value,
            "idle_timeout": str(TURN_IDLE_TIMEOUT_MS),
        }
        is_mine = fetch_one(_LOCK_OPERATION, values, scalar_row)
        # An abort holds the row briefly; a plan edit that ends a reroute holds it until its commit.
        operation = _free_rows().filter(pk=opened.id).first() if is_mine else None
        if operation is None or not operation.is_open:
            return False
        changed = operation.changed
        with acting_as(actor_of(operation)):
            _go_on(operation, CHUNK_ROWS if operation.position else FIRST_ROWS)
        is_looking = operation.operation == BulkOperation.Operation.REROUTE and operation.changed == changed
        return operation.is_open and operation.resume_at is None and not is_looking


def try_turn(opened: ClaimedOperation) -> bool:
    """Run a turn; return whether the next can follow at once. If the turn fails, store its error and return False.

    ConnectionLostError is raised.
    """
    try:
        with session_errors(connection):
            return take_turn(opened)
    except Exception as error:
        if isinstance(error, ConnectionLostError):
            raise
        note_failure(opened, error)
        return False


def take_first_turn(operation: BulkOperation) -> None:
    """Run a turn in the transaction that creates the operation, as the current actor.

    No lock is needed, because other processes do not see the new row yet.
    """
    _go_on(operation, CHUNK_ROWS)


def run_to_end(operation: BulkOperation) -> BulkOperation:
    """Run turns in this process until the operation has ended or rests; return its row.

    An operation rests after a failed turn, or when a limit of its tenant is reached. If another process runs a turn of
    the operation, wait for it.
    """
    opened = ClaimedOperation(operation.pk, operation.tenant_id)
    while True:
        has_more = try_turn(opened)
        with scope_context(Scope(tenant_id=opened.tenant_id)):
            operation = BulkOperation.objects.select_related("tenant").get(pk=opened.id)
        if not operation.is_open or operation.resume_at is not None:
            return operation
        if not has_more:
            time.sleep(BUSY_SECONDS)


def note_failure(opened: ClaimedOperation, error: BaseException) -> None:
    """Store the error of a turn that was rolled back, and when to try again.

    After `MAX_FAILURES` failures in a row the operation itself fails, unless it is a reroute.
    """
    logger.error("bulk_operation.turn_failed", extra={"operation": str(opened.id)}, exc_info=error)
    with scope_context(Scope(tenant_id=opened.tenant_id)):
        operation = _free_rows().filter(pk=opened.id, finished_at__isnull=True).first()
        if operation is None:
            return
        operation.failures = min(operation.failures + 1, MAX_FAILURES)
        operation.error = f"{type(error).__name__}: {error}"[:500]
        operation.resume_at = read_moment() + timedelta(seconds=2**operation.failures)
        # Without its reroute, waiting jobs would stay in queues that routing no longer names.
        if operation.failures < MAX_FAILURES or operation.operation == BulkOperation.Operation.REROUTE:
            operation.save()
            return
        with acting_as(actor_of(operation)):
            end_operation(operation, _State.FAILED)


def _free_rows() -> QuerySet[BulkOperation]:
    """Return a queryset that locks the operations it reads and skips those that another session has locked."""
    return BulkOperation.objects.select_for_update(no_key=True, skip_locked=True)


def _go_on(operation: BulkOperation, limit: int) -> None:
    if operation.started_at is None:
        operation.started_at, operation.state = read_clock(), _State.RUNNING
    operation.failures, operation.error, operation.resume_at = 0, "", None
    if _take_next(operation, limit):
        end_operation(operation, _State.COMPLETED)
    else:
        operation.save()


def _take_next(operation: BulkOperation, limit: int) -> bool:
    """Process the next jobs, at most ``limit``; return whether they were the last."""
    if operation.operation == BulkOperation.Operation.REROUTE:
        return take_steps(operation)
    if operation.has_payload_patch:
        limit = min(limit, PATCHED_ROWS)
    act = parse_action(operation.operation, operation.parameters, operation.payload_patch)
    return _act_on_next(operation, act, limit) if operation.undo_of_id is None else _undo_next(operation, act)


def _act_on_next(operation: BulkOperation, act: BulkAction, limit: int) -> bool:
    """Apply the action to the next jobs of the filter, at most ``limit``; return whether they were the last."""
    jobs = FrozenJobs(parse(operation.filter), operation.frozen_at, operation.newest_id)
    chunk = jobs.next_chunk(act.states, after=operation.after, limit=limit)
    done = act.act(chunk.job_ids, reason=operation.reason) if chunk.job_ids else ActionResult()
    if done.put_off:
        acted_on = chunk.job_ids[: -len(done.put_off)]
        operation.resume_at = read_moment() + timedelta(seconds=done.retry_after_seconds or 1)
        changed = len(done.changed.intersection(done.put_off))
        passed = Counter[str]()
        if acted_on:
            passed = jobs.count_passed(act.states, after=operation.after, end=acted_on[-1], but=acted_on)
        _add_up(operation, done, len(acted_on) + changed, passed)
        operation.after = acted_on[-1] if acted_on else operation.after
        return False
    _keep_formers(operation, done)
    _add_up(operation, done, len(chunk.job_ids), chunk.passed)
    operation.after = chunk.end
    return chunk.end is None


def _undo_next(operation: BulkOperation, act: BulkAction) -> bool:
    """Restore the values of the jobs in the next BulkFormer row; return True if there was no further row."""
    rows = BulkFormer.objects.filter(operation_id=operation.undo_of_id).order_by("id")
    if operation.after is not None:
        rows = rows.filter(id__gt=operation.after)
    row = rows.first()
    if row is None:
        return True
    done = act.give_back(dict(zip(row.job_ids, row.formers, strict=True)), reason=operation.reason)
    _add_up(operation, done, len(row.job_ids), Counter())
    operation.after = row.pk
    return False


def _add_up(operation: BulkOperation, done: ActionResult, acted_on: int, passed: Counter[str]) -> None:
    missed = acted_on - len(done.changed) - done.refused.total()
    ineligible = Counter(operation.ineligible) + done.refused + passed + Counter({CHANGED_MEANWHILE: missed})
    operation.ineligible = dict(sorted(ineligible.items()))
    operation.seen += acted_on + passed.total()
    operation.changed += len(done.changed)
    if operation.tenant_id is None and done.changed:
        tenants = Job.objects.filter(pk__in=done.changed).values_list("tenant_id", flat=True)
        by_tenant = Counter(operation.changed_by_tenant) + Counter(str(tenant_id) for tenant_id in tenants)
        operation.changed_by_tenant = dict(by_tenant)


def _keep_formers(operation: BulkOperation, done: ActionResult) -> None:
    """Store the former values of the changed jobs for an undo, in one row for each tenant."""
    if not done.formers:
        return
    by_tenant: dict[UUID, list[UUID]] = {}
    for job_id, tenant_id in Job.objects.filter(pk__in=done.formers).order_by("id").values_list("id", "tenant_id"):
        by_tenant.setdefault(tenant_id, []).append(job_id)
    BulkFormer.objects.bulk_create(
        BulkFormer(
            tenant_id=tenant_id,
            operation=operation,
            job_ids=job_ids,
            formers=[done.formers[job_id] for job_id in job_ids],
        )
        for tenant_id, job_ids in by_tenant.items()
    )
