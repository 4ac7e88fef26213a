"""Batches, which count their jobs and what has ended of them."""

from __future__ import annotations

from django.db import connection

from scheduling.services.consistency import kinds
from scheduling.services.consistency.pieces import Table
from scheduling.services.consistency.registry import Look, Piece, RepairOrder, StateCheck

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
# Of those that are kept no longer nobody knows how they had ended, so they may be any of the three.
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
# Whoever prunes a batch's jobs, adds some or folds its news writes the batch, so that its row is what all wait for.
_LOCK_BATCHES = "SELECT 1 FROM scheduling_batch WHERE id = ANY (%s::uuid[]) ORDER BY id FOR NO KEY UPDATE"
# What is kept no longer and was not counted as failed or cancelled is taken for completed.
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


def look(piece: Piece) -> Look:
    """Batches whose numbers are not those of their jobs, and those that should be over."""
    parameters = {"grace": BATCH_GRACE_SECONDS}
    return Table("scheduling_batch").look(_BATCHES, piece, parameters=parameters, rows=BATCH_ROWS)


def repair(order: RepairOrder) -> None:
    """Write what is recounted, and have the next fold look at the batch."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_BATCHES, [list(order.subjects)])
        cursor.execute(_COUNT_BATCHES, {"ids": list(order.subjects)})


CHECKS = (
    StateCheck(
        "batches", (kinds.BATCH_SHORT, kinds.BATCH_OVER, kinds.BATCH_COUNTER, kinds.BATCH_UNENDED), look, repair
    ),
)
