"""Job kinds that workers announce: a pool is handed jobs of the kinds that one of its live workers announces.

A worker announces its kinds when it registers. A dispatcher recomputes each pool's list once a second, since a worker
that has stopped announces nothing. A worker row without a list, of a release that announced none, stands for any kind.
"""

from __future__ import annotations

from scheduling.conf import lease_seconds
from scheduling.services.wakes import wake_on_commit
from tenants.context import all_tenants
from tenants.database.sql import load_sql
from tenants.prepared import prepared_cursor

_SQL = load_sql(__file__)
_REFRESH = _SQL["store_announced_kinds"]
_NOTE_UNKNOWN = _SQL["note_unknown_kinds"]


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
