"""Batches, which count their jobs."""

from __future__ import annotations

from django.db import connection

from scheduling.services.consistency import kinds
from scheduling.services.consistency.pieces import Table
from scheduling.services.consistency.registry import Look, Piece, RepairOrder, StateCheck

# A batch is made before its jobs, perhaps in a transaction of its own.
BATCH_GRACE_SECONDS = 60
# Each counts its jobs, of which there may be many.
BATCH_ROWS = 500
_BATCHES = """
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, total, pruned FROM scheduling_batch
    WHERE <piece> AND created_at < now() - make_interval(secs => %(grace)s)
)
SELECT f.code, b.tenant_id, b.id::text
FROM piece b CROSS JOIN LATERAL (
        SELECT count(*) + b.pruned AS jobs FROM scheduling_job j WHERE j.tenant_id = b.tenant_id AND j.batch_id = b.id
    ) AS found
    CROSS JOIN LATERAL (VALUES
        ('batch_short', found.jobs < b.total), ('batch_over', found.jobs > b.total)
    ) AS f(code, is_wrong)
WHERE f.is_wrong
"""
# Whoever prunes a batch's jobs writes the batch, so that its row is what both wait for.
_LOCK_BATCHES = "SELECT 1 FROM scheduling_batch WHERE id = ANY (%s::uuid[]) ORDER BY id FOR UPDATE"
_COUNT_BATCHES = """
UPDATE scheduling_batch b SET total = found.jobs + b.pruned
FROM (SELECT j.batch_id, count(*) AS jobs FROM scheduling_batch o
        JOIN scheduling_job j ON j.tenant_id = o.tenant_id AND j.batch_id = o.id
    WHERE o.id = ANY (%s::uuid[]) GROUP BY 1) AS found
WHERE b.id = found.batch_id AND found.jobs + b.pruned > b.total
"""


def look(piece: Piece) -> Look:
    """Batches whose number of jobs is not what they say."""
    parameters = {"grace": BATCH_GRACE_SECONDS}
    return Table("scheduling_batch").look(_BATCHES, piece, parameters=parameters, rows=BATCH_ROWS)


def repair(order: RepairOrder) -> None:
    """Write how many jobs batches have that have more than they say."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_BATCHES, [list(order.subjects)])
        cursor.execute(_COUNT_BATCHES, [list(order.subjects)])


CHECKS = (StateCheck("batches", (kinds.BATCH_SHORT, kinds.BATCH_OVER), look, repair),)
