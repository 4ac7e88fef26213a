"""Job kinds that workers announce: a pool is handed jobs of the kinds that one of its live workers announces.

A worker announces its kinds when it registers. A dispatcher recomputes each pool's list once a second, since a worker
that has stopped announces nothing. A worker row without a list, of a release that announced none, stands for any kind.
"""

from __future__ import annotations

from scheduling.conf import lease_seconds
from scheduling.selectors.announced_kinds import UNKNOWN
from scheduling.services.wakes import wake_on_commit
from tenants.context import all_tenants
from tenants.prepared import prepared_cursor

# A pool without a live worker keeps its list: it has no slots anyway.
_REFRESH = """
WITH live AS (
    SELECT pool_id, kinds FROM scheduling_worker
    WHERE status = 'online' AND heartbeat_at > now() - make_interval(secs => %(lease_seconds)s)
), announced AS (
    SELECT l.pool_id, CASE WHEN count(*) = count(l.kinds) THEN to_jsonb(ARRAY(
        SELECT DISTINCT k.kind FROM live o CROSS JOIN jsonb_array_elements_text(o.kinds) AS k(kind)
        WHERE o.pool_id = l.pool_id ORDER BY 1)) END AS kinds
    FROM live l GROUP BY l.pool_id
)
UPDATE scheduling_workerpool p SET kinds = a.kinds
FROM announced a WHERE p.id = a.pool_id AND p.kinds IS DISTINCT FROM a.kinds
RETURNING p.id
"""

# Gates and kinds are found by hopping over an index. A kind that still waits keeps the moment at which it began to.
_NOTE_UNKNOWN = f"""
WITH RECURSIVE hop AS (
    (SELECT gate, kind FROM scheduling_job_held WHERE gate > '{UNKNOWN}' ORDER BY gate, kind LIMIT 1)
    UNION ALL
    SELECT next.gate, next.kind FROM hop CROSS JOIN LATERAL (
        SELECT h.gate, h.kind FROM scheduling_job_held h WHERE (h.gate, h.kind) > (hop.gate, hop.kind)
        ORDER BY h.gate, h.kind LIMIT 1
    ) next
), unknown AS (
    SELECT p.id, coalesce((
        SELECT jsonb_object_agg(h.kind, coalesce(
            p.unknown_kinds -> h.kind, to_jsonb(extract(epoch FROM clock_timestamp()))))
        FROM hop h WHERE h.gate = '{UNKNOWN} ' || p.id), '{{}}') AS kinds
    FROM scheduling_workerpool p
)
UPDATE scheduling_workerpool p SET unknown_kinds = u.kinds
FROM unknown u WHERE p.id = u.id AND p.unknown_kinds <> u.kinds
"""  # noqa: S608 - constants


def tend_announced_kinds() -> None:
    """Store what live workers announce, and note the kinds with waiting jobs that none announces."""
    with all_tenants():
        refresh_announced_kinds()
        with prepared_cursor() as cursor:
            cursor.execute(_NOTE_UNKNOWN)


def refresh_announced_kinds() -> int:
    """Store for each pool what its live workers announce; return how many pools changed.

    Wake the dispatcher if one did, so that jobs whose kind is now announced are released at once.
    """
    with all_tenants(), prepared_cursor() as cursor:
        cursor.execute(_REFRESH, {"lease_seconds": lease_seconds()})
        changed = len(cursor.fetchall())
        if changed:
            wake_on_commit()
    return changed
