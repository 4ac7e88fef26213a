"""Batches against the jobs that they count, and settled rows that no tick could fold."""

from __future__ import annotations

from django.db import connection
from django.utils.translation import gettext_noop

from scheduling.services.consistency.registry import FaultKind, Look, Piece, RepairOrder, StateCheck
from scheduling.services.consistency.walk import Table
from scheduling.services.dispatching.refused import put_back

BATCH_SHORT = FaultKind(
    "batch_short", gettext_noop("A batch has fewer jobs than it was made with, those kept no longer counted.")
)
BATCH_OVER = FaultKind(
    "batch_over",
    gettext_noop("A batch says fewer jobs than it has."),
    "Writes the number of its jobs, those kept no longer counted.",
)
_BATCH_RECOUNT = "Writes what is recounted, and has a dispatcher look whether the batch is over."
BATCH_COUNTER = FaultKind(
    "batch_counter", gettext_noop("A batch counts other than what has ended of its jobs."), _BATCH_RECOUNT
)
BATCH_UNENDED = FaultKind(
    "batch_unended", gettext_noop("A batch is closed, all its jobs have ended, and it has not."), _BATCH_RECOUNT
)
SETTLED_REFUSED = FaultKind(
    "settled_refused",
    gettext_noop("A settled execution could not be counted into the fair order and the worker time of its month."),
    "Counts it once more, with the time that it can have used at most; it comes back if its cause is still there.",
)
# A batch is made before its jobs, perhaps in a transaction of its own; and what has ended is folded a moment later.
BATCH_GRACE_SECONDS = 60
# Each counts its jobs, of which there may be many.
BATCH_ROWS = 500
# What has ended and is not folded yet is news; the two are written in one transaction, and seen by one statement.
_RECOUNT = """
    SELECT count(*) AS jobs, count(*) FILTER (WHERE j.state = 'completed') AS completed,
        count(*) FILTER (WHERE j.state IN ('discarded', 'quarantined')) AS failed,
        count(*) FILTER (WHERE j.state = 'cancelled') AS cancelled
    FROM scheduling_job j WHERE j.tenant_id = b.tenant_id AND j.batch_id = b.id
"""
_NEWS = """
    SELECT count(*) FILTER (WHERE n.state = 'completed') AS completed,
        count(*) FILTER (WHERE n.state IN ('discarded', 'quarantined')) AS failed,
        count(*) FILTER (WHERE n.state = 'cancelled') AS cancelled, count(*) AS rows
    FROM scheduling_batch_news n WHERE n.batch_id = b.id
"""
# How pruned jobs had ended is not stored, so they may be any of the three.
_BATCHES = f"""
WITH piece AS MATERIALIZED (
    SELECT * FROM scheduling_batch WHERE <piece> AND created_at < now() - make_interval(secs => %(grace)s)
)
SELECT f.code, b.tenant_id, b.id::text
FROM piece b CROSS JOIN LATERAL ({_RECOUNT}) AS found CROSS JOIN LATERAL ({_NEWS}) AS news
    CROSS JOIN LATERAL (SELECT b.completed + news.completed - found.completed AS completed,
        b.failed + news.failed - found.failed AS failed, b.cancelled + news.cancelled - found.cancelled AS cancelled
    ) AS more
    CROSS JOIN LATERAL (VALUES
        ('batch_short', found.jobs + b.pruned < b.total), ('batch_over', found.jobs + b.pruned > b.total),
        ('batch_counter', least(more.completed, more.failed, more.cancelled) < 0
            OR more.completed + more.failed + more.cancelled <> b.pruned),
        ('batch_unended', b.ended_at IS NULL AND b.closed_at < now() - make_interval(secs => %(grace)s)
            AND news.rows = 0 AND b.completed + b.failed + b.cancelled >= b.total)
    ) AS f(code, is_wrong)
WHERE f.is_wrong
"""  # noqa: S608 - constants
# Pruning a batch's jobs, adding some and folding its news all write the batch, so its row is the lock of them all.
_LOCK_BATCHES = "SELECT 1 FROM scheduling_batch WHERE id = ANY (%s::uuid[]) ORDER BY id FOR NO KEY UPDATE"
# A pruned job that was not counted as failed or cancelled counts as completed.
_COUNT_BATCHES = f"""
WITH counted AS (
    UPDATE scheduling_batch b SET
        total = greatest(b.total, o.jobs + b.pruned),
        completed = o.completed - o.news_completed + b.pruned - o.pruned_failed - o.pruned_cancelled,
        failed = o.failed - o.news_failed + o.pruned_failed,
        cancelled = o.cancelled - o.news_cancelled + o.pruned_cancelled
    FROM (
        SELECT b.id, found.*, news.completed AS news_completed, news.failed AS news_failed,
            news.cancelled AS news_cancelled, pruned.failed AS pruned_failed,
            least(greatest(0, b.cancelled + news.cancelled - found.cancelled), b.pruned - pruned.failed)
                AS pruned_cancelled
        FROM scheduling_batch b CROSS JOIN LATERAL ({_RECOUNT}) AS found CROSS JOIN LATERAL ({_NEWS}) AS news
            CROSS JOIN LATERAL (
                SELECT least(greatest(0, b.failed + news.failed - found.failed), b.pruned) AS failed
            ) AS pruned
        WHERE b.id = ANY (%(ids)s::uuid[])
    ) AS o WHERE o.id = b.id
    RETURNING b.id, b.tenant_id
)
INSERT INTO scheduling_batch_news (tenant_id, batch_id, state) SELECT tenant_id, id, '' FROM counted
"""  # noqa: S608 - constants
_REFUSED = """
SELECT 'settled_refused', tenant_id, id::text, error FROM scheduling_settled_refused WHERE <piece>
"""


def look(piece: Piece) -> Look:
    """Compare the numbers of batches with their jobs, and find batches that should have ended."""
    parameters = {"grace": BATCH_GRACE_SECONDS}
    return Table("scheduling_batch").look(_BATCHES, piece, parameters=parameters, rows=BATCH_ROWS)


def repair(order: RepairOrder) -> None:
    """Write the recounted numbers, and have the next fold look at the batch."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_BATCHES, [order.subjects])
        cursor.execute(_COUNT_BATCHES, {"ids": order.subjects})


def look_at_refused(piece: Piece) -> Look:
    """Return the settled rows that a tick has set aside, each with its error."""
    return Table("scheduling_settled_refused").look(_REFUSED, piece)


def repair_refused(order: RepairOrder) -> None:
    """Put the rows back among those that the next tick folds."""
    assert order.tenant_id is not None  # every row has one
    put_back(tenant_id=order.tenant_id, ids=order.subjects)


BATCHES = StateCheck("batches", (BATCH_SHORT, BATCH_OVER, BATCH_COUNTER, BATCH_UNENDED), look, repair)
REFUSED = StateCheck("refused", (SETTLED_REFUSED,), look_at_refused, repair_refused)
