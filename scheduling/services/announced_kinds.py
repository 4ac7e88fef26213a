"""Job kinds that workers announce: a pool is handed jobs of the kinds that one of its live workers announces.

A worker announces its kinds when it registers. A dispatcher recomputes each pool's list once a second, since a worker
that has stopped announces nothing. A worker row without a list, of a release that announced none, stands for any kind.
"""

from __future__ import annotations

from scheduling.conf import lease_seconds
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
