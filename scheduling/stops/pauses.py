"""Services that pause, drain and resume a queue, kind or pool; the tenants package has those of tenants.

A pause stops dispatching: new jobs wait, running ones continue. A drain of a queue or kind refuses new jobs while
existing ones finish. A drain of a pool stops dispatching to it. A repeated call replaces the reason and the end;
resuming ends both.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from scheduling.dispatch.broker import wake_on_commit
from scheduling.kit import registry
from scheduling.models import Drain, KindPause, Queue, QueueClock, WorkerPool
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants
from tenants.tenancy.changes import assign
from tenants.tenancy.pausing import actor_words, check_until, expect_reason

# Length that fits beside a queue in every list.
REASON_LIMIT = 200
_NOT_PAUSED: Mapping[str, Any] = {
    "is_paused": False,
    "pause_reason": "",
    "paused_by": "",
    "paused_at": None,
    "paused_until": None,
}


def pause_queue(*, queue: Queue, reason: str = "", until: datetime | None = None) -> None:
    """Stop dispatching from the queue until it is resumed; running jobs continue."""
    _pause_row(queue, "queue", reason, until)


def resume_queue(*, queue: Queue, reason: str = "") -> None:
    """Resume dispatching from the queue and accept new jobs: end its pause and its drain."""
    with all_tenants():
        if _resume_row(queue, "queue", Drain.Scope.QUEUE, reason):
            # It returns to the others' virtual time: a pause earns it no credit.
            QueueClock.objects.filter(queue_id=queue.pk).update(was_backlogged=False)


def pause_pool(*, pool: WorkerPool, reason: str = "", until: datetime | None = None) -> None:
    """Stop dispatching to the pool's workers until it is resumed; jobs that are already dispatched run."""
    _pause_row(pool, "pool", reason, until)


def resume_pool(*, pool: WorkerPool, reason: str = "") -> None:
    """Resume dispatching to the pool's workers."""
    with all_tenants():
        _resume_row(pool, "pool", Drain.Scope.POOL, reason)


def pause_kind(*, kind: str, reason: str = "", until: datetime | None = None) -> None:
    """Stop dispatching jobs of the kind until it is resumed; ticks move its waiting jobs aside, out of their queues."""
    registry.get(kind)
    values = {"reason": expect_reason(reason, max_length=REASON_LIMIT), "paused_until": until}
    with all_tenants():
        check_until(until)
        pause, was_made = KindPause.objects.select_for_update(no_key=True).get_or_create(
            kind=kind, defaults=values | {"paused_by": actor_words()}
        )
        before = {name: getattr(pause, name) for name in values}
        if was_made or before != values:
            KindPause.objects.filter(kind=kind).update(**values, paused_by=actor_words())
            record_audit(
                action="kind.paused",
                target=AuditTarget("scheduling.kind", kind),
                before=None if was_made else before,
                after=values,
                reason=reason,
            )
            wake_on_commit()


def resume_kind(*, kind: str, reason: str = "") -> None:
    """End the pause and the drain of the kind; the next ticks put its jobs back into their queues in the old order."""
    with all_tenants():
        was_paused = KindPause.objects.filter(kind=kind).delete()[0] > 0
        was_draining = _end_drain(Drain.Scope.KIND, kind)
        if was_paused or was_draining:
            record_audit(
                action="kind.resumed",
                target=AuditTarget("scheduling.kind", kind),
                before={"is_paused": was_paused, "is_draining": was_draining},
                after={"is_paused": False, "is_draining": False},
                reason=reason,
            )
            wake_on_commit()


def drain_queue(*, queue: Queue, reason: str = "", until: datetime | None = None) -> Drain:
    """Refuse new jobs of the queue while its waiting and running jobs finish."""
    return _drain(Drain.Scope.QUEUE, queue.name, AuditTarget("scheduling.queue", str(queue.pk)), reason, until)


def drain_kind(*, kind: str, reason: str = "", until: datetime | None = None) -> Drain:
    """Refuse new jobs of the kind while its waiting and running jobs finish."""
    registry.get(kind)
    return _drain(Drain.Scope.KIND, kind, AuditTarget("scheduling.kind", kind), reason, until)


def drain_pool(*, pool: WorkerPool, reason: str = "", until: datetime | None = None) -> Drain:
    """Stop dispatching to the pool's workers, so that they become idle; the pool's jobs wait."""
    return _drain(Drain.Scope.POOL, pool.name, AuditTarget("scheduling.workerpool", str(pool.pk)), reason, until)


def _pause_row(row: Queue | WorkerPool, noun: str, reason: str, until: datetime | None) -> None:
    kept = expect_reason(reason, max_length=REASON_LIMIT)
    with all_tenants():
        now = check_until(until)
        current: Queue | WorkerPool = type(row)._default_manager.select_for_update(no_key=True).get(pk=row.pk)
        difference = assign(current, {"is_paused": True, "pause_reason": kept, "paused_until": until})
        if difference:
            current.paused_by = actor_words()
            current.paused_at = current.paused_at or now
            current.save(update_fields=list(_NOT_PAUSED))
            record_audit(
                action=f"{noun}.paused",
                target=current,
                before=difference.before,
                after=difference.after,
                reason=reason,
            )
            wake_on_commit()
    row.refresh_from_db()


def _resume_row(row: Queue | WorkerPool, noun: str, scope: Drain.Scope, reason: str) -> bool:
    """End the pause and the drain of a queue or pool, if any; return whether it was paused."""
    current: Queue | WorkerPool = type(row)._default_manager.select_for_update(no_key=True).get(pk=row.pk)
    was_paused, was_draining = current.is_paused, _end_drain(scope, current.name)
    if was_paused or was_draining:
        assign(current, _NOT_PAUSED)
        current.save(update_fields=list(_NOT_PAUSED))
        record_audit(
            action=f"{noun}.resumed",
            target=current,
            before={"is_paused": was_paused, "is_draining": was_draining},
            after={"is_paused": False, "is_draining": False},
            reason=reason,
        )
        wake_on_commit()
    row.refresh_from_db()
    return was_paused


def _drain(scope: Drain.Scope, name: str, target: AuditTarget, reason: str, until: datetime | None) -> Drain:
    values = {"reason": expect_reason(reason, max_length=REASON_LIMIT), "until": until}
    with all_tenants():
        now = check_until(until)
        drain, was_made = Drain.objects.select_for_update(no_key=True).get_or_create(
            scope=scope, name=name, defaults=values | {"started_by": actor_words(), "started_at": now}
        )
        before = {key: getattr(drain, key) for key in values}
        if was_made or before != values:
            Drain.objects.filter(pk=drain.pk).update(**values, started_by=actor_words())
            drain.refresh_from_db()
            record_audit(
                action=f"{scope.value}.draining",
                target=target,
                before=None if was_made else before,
                after=values,
                reason=reason,
            )
            wake_on_commit()
    return drain


def _end_drain(scope: Drain.Scope, name: str) -> bool:
    return Drain.objects.filter(scope=scope, name=name).delete()[0] > 0
