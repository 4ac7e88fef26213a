"""Settled rows that cannot be folded: found by halves, set aside, and put back once their cause is mended.

An ordinary tick folds all rows by one statement, so one bad row fails every tick of its pool. Only when ticks keep
failing does a dispatcher call `set_aside_refused`, which pays for the savepoints that a tick does without.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import groupby
from uuid import UUID

from django.db import DatabaseError, OperationalError, connection, transaction

from scheduling.conf import BY_INDEX, LOCK_TIMEOUT_MS, TICK_IDLE_TIMEOUT_MS
from scheduling.models import SettledRefused
from scheduling.services.dispatching.collect import collect_settled
from scheduling.services.dispatching.locked import lock_what_is_free
from scheduling.services.dispatching.look import lead_pool
from scheduling.services.settlement import longest_us
from scheduling.services.wakes import wake_on_commit
from tenants.context import all_tenants
from tenants.ids import uuid7

logger = logging.getLogger(__name__)

# Each refused row costs some twenty statements. What lies behind these is looked at by the next call.
MAX_MESSAGES = 1_000
MAX_ERROR_CHARACTERS = 1_000
_SETTINGS = {
    **BY_INDEX,
    # Ticks of the pool fail anyway: a slow machine has more time between two of many statements than in a tick.
    "idle_in_transaction_session_timeout": str(10 * TICK_IDLE_TIMEOUT_MS),
    "lock_timeout": str(LOCK_TIMEOUT_MS),
}
_ROWS = """
SELECT s.message_id, s.ctid::text FROM scheduling_settled s JOIN scheduling_queue q ON q.id = s.queue_id
WHERE q.pool_id = %s AND s.tenant_id = ANY (%s) ORDER BY s.message_id NULLS LAST LIMIT %s
"""
# A row without a message holds no place. The place itself is freed by a row that measures nothing.
_DETACH = "UPDATE scheduling_settled SET message_id = NULL WHERE ctid = %s::tid RETURNING ctid::text"
_PLACE = """
INSERT INTO scheduling_settled (tenant_id, entity_id, queue_id, message_id, kind, predicted_us, measured_us,
    weight_milli, queue_weight_milli, is_sample, payload_bytes, used_us, ended_at)
SELECT tenant_id, entity_id, queue_id, message_id, '', 0, 0, 1, 1, false, 0, 0, now()
FROM scheduling_settled WHERE ctid = ANY (%s::tid[]) AND message_id IS NOT NULL
RETURNING ctid::text
"""
_SET_ASIDE = """
WITH gone AS (DELETE FROM scheduling_settled WHERE ctid = %s::tid RETURNING *)
INSERT INTO scheduling_settled_refused (id, tenant_id, queue_id, measured_us, content, error, refused_at)
SELECT %s, tenant_id, queue_id, measured_us, to_jsonb(gone), %s, now() FROM gone
"""
# What cannot have been used is not charged, and teaches the predictor nothing. A row of a weight of nothing is charged
# at the least.
_PUT_BACK = """
WITH gone AS (
    DELETE FROM scheduling_settled_refused WHERE tenant_id = %(tenant_id)s AND id = ANY (%(ids)s::uuid[])
    RETURNING content
)
INSERT INTO scheduling_settled (tenant_id, entity_id, queue_id, message_id, kind, predicted_us, whole_us, measured_us,
    weight_milli, queue_weight_milli, is_sample, payload_bytes, used_us, peak_memory_kib, ended_at)
SELECT r.tenant_id, r.entity_id, r.queue_id, NULL, r.kind, least(greatest(0, r.predicted_us), %(most_us)s), NULL,
    least(greatest(0, r.measured_us), %(most_us)s), greatest(1, r.weight_milli), greatest(1, r.queue_weight_milli),
    false, r.payload_bytes, r.used_us, r.peak_memory_kib, r.ended_at
FROM gone CROSS JOIN LATERAL jsonb_populate_record(NULL::scheduling_settled, gone.content) AS r
"""


def set_aside_refused(pool_id: int) -> int:
    """Fold the pool's settled rows by halves, set aside those that fail alone, and return how many these are.

    Return 0 while another dispatcher ticks the pool. Raise what is no row's fault, such as a lost connection.
    """
    with all_tenants(_SETTINGS):
        if lead_pool(pool_id) is None:
            return 0
        free, _ = lock_what_is_free(pool_id)
        before = SettledRefused.objects.count()
        with connection.cursor() as cursor:
            # Else a foreign key would fail only at the commit, which belongs to all rows.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(_ROWS, [pool_id, free, MAX_MESSAGES])
            rows = cursor.fetchall()
        # A message has one place: its rows are folded together. Those without a message hold none.
        messages = [[place for _, place in group] for _, group in groupby(rows, key=lambda row: row[0] or row[1])]
        _fold(pool_id, messages)
        refused = SettledRefused.objects.count() - before
        wake_on_commit()
    return refused


def put_back(*, tenant_id: UUID, ids: Sequence[str]) -> None:
    """Put refused rows of a tenant back among the settled, with the time that they can have used at most."""
    with connection.cursor() as cursor:
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
    """Free the place of one message, then fold each of its rows or set it aside."""
    with connection.cursor() as cursor:
        cursor.execute(_PLACE, [list(places)])
        freeing = [place for (place,) in cursor.fetchall()]
        if freeing and (error := _attempt(pool_id, freeing)) is not None:
            # The check `counters` finds the counter that still has it.
            logger.error("settled.place_not_freed", extra={"pool_id": pool_id, "cause": _describe(error)})
            cursor.execute("DELETE FROM scheduling_settled WHERE ctid = ANY (%s::tid[])", [freeing])
        for place in places:
            cursor.execute(_DETACH, [place])
            (detached,) = cursor.fetchone()
            if (error := _attempt(pool_id, [detached])) is not None:
                cursor.execute(_SET_ASIDE, [detached, uuid7(), _describe(error)])
                logger.error("settled.refused", extra={"pool_id": pool_id, "cause": _describe(error)})


def _attempt(pool_id: int, places: Sequence[str]) -> DatabaseError | ValueError | None:
    """Fold these rows, or change nothing and return the error."""
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
