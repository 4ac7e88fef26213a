"""Settled rows that a tick cannot count: found by bisection, set aside, and put back once the cause is fixed.

An ordinary tick counts all rows in one statement, so one bad row fails every tick of its pool. Only when ticks keep
failing does a dispatcher call `quarantine_rejected`, which pays for savepoints that a tick does not need.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import groupby
from uuid import UUID

from django.db import DatabaseError, OperationalError, connection, transaction
from psycopg.rows import scalar_row

from scheduling.conf import BY_INDEX, LOCK_TIMEOUT_MS, TICK_IDLE_TIMEOUT_MS
from scheduling.dispatch.broker import wake_on_commit
from scheduling.dispatch.collect import collect_settled, lead_pool
from scheduling.dispatch.locked import lock_what_is_free
from scheduling.execution.settlement import longest_us
from scheduling.models import SettledRefused
from tenants.context import all_tenants
from tenants.database.ids import uuid7
from tenants.database.prepared import fetch_all, prepared_cursor
from tenants.database.sql import load_sql

logger = logging.getLogger(__name__)

# Each refused row costs some twenty statements. Messages beyond these wait for the next call.
MAX_MESSAGES = 1_000
MAX_ERROR_CHARACTERS = 1_000
_SETTINGS = {
    **BY_INDEX,
    # Ticks of the pool fail anyway, so the many statements get more time between them than those of a tick.
    "idle_in_transaction_session_timeout": str(10 * TICK_IDLE_TIMEOUT_MS),
    "lock_timeout": str(LOCK_TIMEOUT_MS),
}
_SQL = load_sql(__file__)
_ROWS = _SQL["find_settled"]
_DETACH = _SQL["detach_row"]
_PLACE = _SQL["free_slot"]
_DROP = _SQL["drop_rows"]
_SET_ASIDE = _SQL["set_aside"]
_PUT_BACK = _SQL["restore_rows"]


def quarantine_rejected(pool_id: int) -> int:
    """Count the pool's settled rows by bisection, and set aside each row that fails alone.

    Return how many were set aside; 0 while another dispatcher ticks the pool. Raise errors that no row causes, such as
    a lost connection.
    """
    with all_tenants(_SETTINGS):
        if lead_pool(pool_id) is None:
            return 0
        free, _ = lock_what_is_free(pool_id)
        before = SettledRefused.objects.count()
        with connection.cursor() as cursor:
            # A foreign key would otherwise fail only at the commit, for all rows.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        rows = fetch_all(_ROWS, {"pool_id": pool_id, "tenant_ids": free, "limit": MAX_MESSAGES})
        # A message has one slot: its rows are folded together. Rows without a message hold none.
        groups = groupby(rows, key=lambda row: row.message_id or row.place)
        messages = [[row.place for row in group] for _, group in groups]
        _fold(pool_id, messages)
        refused = SettledRefused.objects.count() - before
        wake_on_commit()
    return refused


def restore_rows(*, tenant_id: UUID, ids: Sequence[str]) -> None:
    """Move a tenant's rows that were set aside back among the settled ones; cap their time at the longest possible."""
    with prepared_cursor() as cursor:
        cursor.execute(_PUT_BACK, {"tenant_id": tenant_id, "ids": list(ids), "most_us": longest_us()})
    wake_on_commit()


def _fold(pool_id: int, messages: Sequence[Sequence[str]]) -> None:
    if not messages or _attempt(pool_id, [place for places in messages for place in places]) is None:
        return
    if len(messages) == 1:
        _fold_rows(pool_id, messages[0])
        return
    middle = len(messages) // 2
    _fold(pool_id, messages[:middle])
    _fold(pool_id, messages[middle:])


def _fold_rows(pool_id: int, places: Sequence[str]) -> None:
    """Free the slot of one message, then fold each of its rows or set it aside."""
    with prepared_cursor(scalar_row) as cursor:
        cursor.execute(_PLACE, {"places": list(places)})
        freeing = cursor.fetchall()
        if freeing and (error := _attempt(pool_id, freeing)) is not None:
            # The check `counters` finds the counter that still includes it.
            logger.error("settled.place_not_freed", extra={"pool_id": pool_id, "cause": _describe(error)})
            cursor.execute(_DROP, {"places": freeing})
        for place in places:
            cursor.execute(_DETACH, {"place": place})
            detached = cursor.fetchone()
            if (error := _attempt(pool_id, [detached])) is not None:
                cursor.execute(_SET_ASIDE, {"place": detached, "id": uuid7(), "error": _describe(error)})
                logger.error("settled.refused", extra={"pool_id": pool_id, "cause": _describe(error)})


def _attempt(pool_id: int, places: Sequence[str]) -> DatabaseError | ValueError | None:
    """Fold these rows; if that fails, change nothing and return the error. Raise OperationalError."""
    try:
        with transaction.atomic():
            collect_settled(pool_id, places=places)
    except OperationalError:
        # A lock, a disk or a session: no row's fault.
        raise
    except (DatabaseError, ValueError) as error:
        return error
    return None


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARACTERS]
