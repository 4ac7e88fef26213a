"""End of pauses, drains and forced circuit breakers whose end time has passed, by the database's clock."""

from __future__ import annotations

from scheduling.breakers.service import expire_forced_circuits
from scheduling.dispatch.broker import wake_on_commit
from scheduling.dispatch.leadership import try_to_lead
from scheduling.models import QueueClock
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from tenants.tenancy.service import expire_due_tenant_stops

BECAUSE = "its end time was reached"

_LIFT = load_sql(__file__)["expire_due_stops"]


def expire_due_stops() -> int:
    """End the pauses, drains and forced circuit breakers whose end time has passed; return how many.

    Any number of dispatchers may call this; one of them does it.
    """
    with all_tenants():
        if not try_to_lead(LockClass.STOPS_LIFTED):
            return 0
        lifted = fetch_all(_LIFT)
        for row in lifted:  # rarely more than one
            record_audit(
                action=f"{'pool' if row.noun == 'workerpool' else row.noun}.resumed",
                target=AuditTarget(f"scheduling.{row.noun}", row.id),
                before={row.flag: True},
                after={row.flag: False},
                reason=BECAUSE,
            )
        queue_ids = [int(row.id) for row in lifted if (row.flag, row.noun) == ("is_paused", "queue")]
        # They return to the others' virtual time: a pause earns no credit.
        QueueClock.objects.filter(queue_id__in=queue_ids).update(was_backlogged=False)
        let_go = expire_forced_circuits()
        if lifted or let_go:
            wake_on_commit()
        return len(lifted) + let_go + expire_due_tenant_stops()
