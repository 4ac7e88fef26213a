"""Changes of compensations: work that begins and ends, and the acts of people on those that need attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.postgres.functions import TransactionNow
from django.db import transaction
from django.db.models import Count, Q
from django.db.models.functions import Now

from scheduling.compensation.exceptions import CompensationNotFoundError, CompensationNotOpenError
from scheduling.compensation.models import OPEN, Compensation
from tenants.audit.service import record_audit
from tenants.context import tenant_context
from tenants.database.reads import first_or_raise
from tenants.tenancy.pausing import require_reason

State = Compensation.State


@dataclass(frozen=True, slots=True)
class Undo:
    """What undoes one piece of work; ``payload`` is None while it needs results that do not exist yet."""

    work: str
    kind: str
    payload: Mapping[str, Any] | None
    max_retries: int | None = None


def record_work(
    *, tenant_id: UUID, run_id: UUID, begun: Sequence[Undo] = (), done: Sequence[Undo] = (), undone: Sequence[str] = ()
) -> None:
    """Store what undoes the work of a workflow run, in the transaction that stores the progress of that work.

    ``undone`` names work that has certainly had no effect: nothing has to be compensated.
    """
    if begun:
        rows = [_row(tenant_id, run_id, each, State.BEGUN) for each in begun]
        Compensation.objects.bulk_create(rows, ignore_conflicts=True)
    if done:
        names = [each.work for each in done]
        Compensation.objects.filter(owner_id=run_id, work__in=names, state__in=(State.BEGUN, State.READY)).delete()
        rows = [_row(tenant_id, run_id, each, State.READY) for each in done]
        Compensation.objects.bulk_create(rows, ignore_conflicts=True)
    if undone:
        Compensation.objects.filter(owner_id=run_id, work__in=list(undone), state=State.BEGUN).delete()


def _row(tenant_id: UUID, run_id: UUID, undo: Undo, state: str) -> Compensation:
    payload = None if undo.payload is None else dict(undo.payload)
    return Compensation(
        tenant_id=tenant_id, owner_type=Compensation.Owner.RUN, owner_id=run_id, work=undo.work, kind=undo.kind,
        payload=payload, max_retries=undo.max_retries, state=state, done_at=Now(),
    )  # fmt: skip


def standing_of(owner_id: UUID) -> tuple[str, int, int]:
    """Return how far the compensation of a run or a batch is, how many pieces of work are undone, and of how many.

    It is '' if there is nothing to compensate, `compensating`, `needs_attention` or `compensated`.
    """
    ended = Q(state__in=(State.COMPENSATED, State.SETTLED))
    counts = Compensation.objects.filter(owner_id=owner_id).aggregate(
        all=Count("pk"),
        done=Count("pk", filter=ended),
        stuck=Count("pk", filter=Q(state=State.NEEDS_ATTENTION)),
        waiting=Count("pk", filter=Q(state__in=OPEN[:2])),
    )
    if counts["all"] == counts["waiting"]:
        return "", 0, 0
    name = "needs_attention" if counts["stuck"] else "compensating"
    return "compensated" if counts["done"] == counts["all"] else name, counts["done"], counts["all"]


@transaction.atomic
def retry_compensation(*, compensation_id: UUID, reason: str = "") -> Compensation:
    """Run the job of a compensation that needs attention again.

    Raise `CompensationNotFoundError`, or `CompensationNotOpenError` also for one whose payload is not known.
    """
    row = _lock(compensation_id)
    if row.payload is None:
        raise CompensationNotOpenError("The result that it needs is not known: undo the work by hand.")
    return _change(row, State.PENDING, "compensation.retried", reason)


@transaction.atomic
def settle_compensation(*, compensation_id: UUID, reason: str) -> Compensation:
    """Mark a compensation that needs attention as settled: its work was undone by hand, or need not be.

    Raise `CompensationNotFoundError`, `CompensationNotOpenError` or `ReasonRequiredError`.
    """
    return _change(_lock(compensation_id), State.SETTLED, "compensation.settled", require_reason(reason))


def _lock(compensation_id: UUID) -> Compensation:
    rows = Compensation.objects.select_for_update(no_key=True, of=("self",)).select_related("tenant")
    row = first_or_raise(rows.filter(pk=compensation_id), CompensationNotFoundError)
    if row.state != State.NEEDS_ATTENTION:
        raise CompensationNotOpenError
    return row


def _change(row: Compensation, state: State, action: str, reason: str) -> Compensation:
    is_over = state == State.SETTLED
    with tenant_context(row.tenant_id):
        Compensation.objects.filter(pk=row.pk).update(
            state=state, due_at=None, ended_at=TransactionNow() if is_over else None
        )
        before, after = {"state": row.state}, {"state": state.value}
        record_audit(action=action, target=row, before=before, after=after, reason=reason)
        return Compensation.objects.select_related("tenant").get(pk=row.pk)
