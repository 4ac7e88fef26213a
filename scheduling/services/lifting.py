"""Ending the pauses and drains, and the breakers held by hand, whose time is over, by the database's clock."""

from __future__ import annotations

from django.db import connection

from scheduling.models import QueueClock
from scheduling.services.circuits import let_go_due_circuits
from scheduling.services.leadership import lead
from scheduling.services.wakes import wake_on_commit
from tenants.context import all_tenants
from tenants.locks import LockClass
from tenants.services.audit import AuditTarget, record_audit
from tenants.services.tenants import lift_due_stops

BECAUSE = "its time was over"

# Each condition is asked again by the statement that ends it, so a pause that was prolonged meanwhile stays.
_LIFT = """
WITH queue AS (
    UPDATE scheduling_queue SET is_paused = false, pause_reason = '', paused_by = '', paused_at = NULL,
        paused_until = NULL
    WHERE is_paused AND paused_until <= now() RETURNING id, name
), pool AS (
    UPDATE scheduling_workerpool SET is_paused = false, pause_reason = '', paused_by = '', paused_at = NULL,
        paused_until = NULL
    WHERE is_paused AND paused_until <= now() RETURNING id, name
), kind AS (
    DELETE FROM scheduling_kindpause WHERE paused_until <= now() RETURNING kind
), drain AS (
    DELETE FROM scheduling_drain WHERE until <= now() RETURNING scope, name
)
SELECT 'is_paused', 'queue', id::text FROM queue UNION ALL SELECT 'is_paused', 'workerpool', id::text FROM pool
UNION ALL SELECT 'is_paused', 'kind', kind FROM kind UNION ALL SELECT 'is_draining', scope, name FROM drain
"""


def lift_due() -> int:
    """End what is due; how many. Any number of dispatchers may call this, and one does it."""
    with all_tenants():
        if not lead(LockClass.STOPS_LIFTED):
            return 0
        with connection.cursor() as cursor:
            cursor.execute(_LIFT)
            lifted: list[tuple[str, str, str]] = cursor.fetchall()
        for what, noun, id_ in lifted:  # seldom more than one
            record_audit(
                action=f"{'pool' if noun == 'workerpool' else noun}.resumed",
                target=AuditTarget(f"scheduling.{noun}", id_),
                before={what: True},
                after={what: False},
                reason=BECAUSE,
            )
        queue_ids = [int(id_) for what, noun, id_ in lifted if (what, noun) == ("is_paused", "queue")]
        # They return to the others' virtual time: having been paused earns no credit.
        QueueClock.objects.filter(queue_id__in=queue_ids).update(was_backlogged=False)
        let_go = let_go_due_circuits()
        if lifted or let_go:
            wake_on_commit()
        return len(lifted) + let_go + lift_due_stops()
