"""A tick's first statement: it takes the pool's lock and looks what there is to do."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg.rows import dict_row

from scheduling.execution.settlement import longest_us
from tenants.database.locks import LockClass
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_LOOK = _SQL["look"]
_SET_CLOCK = _SQL["set_clock"]


@dataclass(frozen=True, slots=True)
class News:
    """What a tick found to stage and to fold, and whether there was a tenant to pick before that.

    ``is_anybody_locked``: another transaction held a tenant's rows a moment ago.
    """

    is_anybody_locked: bool
    is_due: bool
    is_held: bool
    is_circuit: bool
    is_settled: bool
    is_woken: bool
    is_slice_used: bool
    is_anybody_runnable: bool

    @property
    def is_any(self) -> bool:
        """Whether there are wakes, or may be once the rest is folded, which appends some."""
        return self.is_due or self.is_held or self.is_circuit or self.is_settled or self.is_woken


def lead_pool(pool_id: int) -> News | None:
    """Take the pool's lock for this transaction, and look what there is to fold; None: another has it.

    What is committed after this look wakes another tick: of this dispatcher, or of one that finds the lock taken and
    leaves the wake for this one.
    """
    with prepared_cursor(dict_row) as cursor:
        cursor.execute(_LOOK, {"pool_id": pool_id, "most_us": longest_us(), "tick_lock": LockClass.TICK.value})
        found = cursor.fetchone()
        is_led, is_clock_old = found.pop("is_led"), found.pop("is_clock_old")
        if is_led and is_clock_old:
            cursor.execute(_SET_CLOCK, {"pool_id": pool_id})
    return News(**found) if is_led else None
