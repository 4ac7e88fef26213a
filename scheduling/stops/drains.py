"""Detection of drains that have finished, because none of the jobs that they wait for is left."""

from __future__ import annotations

from datetime import datetime

from psycopg.rows import scalar_row

from scheduling.dispatch.leadership import try_to_lead
from scheduling.models import Drain
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants
from tenants.database.clock import read_moment
from tenants.database.locks import LockClass
from tenants.database.prepared import fetch_all, fetch_one
from tenants.database.sql import load_sql
from tenants.models import Tenant

# A submission begun before the drain is in no count yet; it has ended by then.
SETTLING_SECONDS = 2

_SQL = load_sql(__file__)
_IS_LEFT = {
    Drain.Scope.QUEUE: _SQL["is_queue_busy"],
    Drain.Scope.KIND: _SQL["is_kind_busy"],
    Drain.Scope.POOL: _SQL["is_pool_busy"],
}
_DRAINED_TENANTS = _SQL["note_drained_tenants"]


def note_drained() -> int:
    """Record each drain that has finished, once; return how many. Any number of dispatchers may call this."""
    with all_tenants():
        if not try_to_lead(LockClass.DRAINS):
            return 0
        return _note_drained_targets(read_moment()) + _note_drained_tenants()


def _note_drained_targets(now: datetime) -> int:
    noted = 0
    # One query for each drain: at any time there are a few at most.
    for drain in Drain.objects.filter(drained_at=None).order_by("pk"):
        is_settled = (now - drain.started_at).total_seconds() >= SETTLING_SECONDS
        if is_settled and not _is_left(drain):
            Drain.objects.filter(pk=drain.pk).update(drained_at=now)
            _record(drain.scope, AuditTarget(f"scheduling.{drain.scope}", drain.name), drain.started_at, now)
            noted += 1
    return noted


def _is_left(drain: Drain) -> bool:
    return bool(fetch_one(_IS_LEFT[Drain.Scope(drain.scope)], {"name": drain.name}, scalar_row))


def _note_drained_tenants() -> int:
    tenant_ids = fetch_all(_DRAINED_TENANTS, {"settling_seconds": SETTLING_SECONDS}, scalar_row)
    for tenant in Tenant.objects.filter(pk__in=tenant_ids):
        assert tenant.draining_at is not None  # the statement selected them by it
        assert tenant.drained_at is not None
        target = AuditTarget("tenants.tenant", str(tenant.pk), tenant.pk)
        _record("tenant", target, tenant.draining_at, tenant.drained_at)
    return len(tenant_ids)


def _record(noun: str, target: AuditTarget, since: datetime, now: datetime) -> None:
    record_audit(action=f"{noun}.drained", target=target, after={"seconds": round((now - since).total_seconds(), 3)})
