"""Checks of batches against the jobs that they count, and of settled executions that no tick could process."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from scheduling.consistency.registry import CheckPage, CheckRange, FaultKind, RepairOrder, StateCheck
from scheduling.consistency.walk import Table
from scheduling.dispatch.rejected_rows import restore_rows
from tenants.database.prepared import execute
from tenants.database.sql import load_sql

BATCH_SHORT = FaultKind(
    "batch_short", gettext_noop("A batch has fewer jobs than it was created with, pruned ones counted.")
)
BATCH_OVER = FaultKind(
    "batch_over",
    gettext_noop("A batch counts fewer jobs than it has."),
    "Writes the number of its jobs, pruned ones counted.",
)
_BATCH_RECOUNT = "Writes the recounted number; a dispatcher then checks whether the batch has ended."
BATCH_COUNTER = FaultKind(
    "batch_counter", gettext_noop("A counter of a batch differs from the number of its ended jobs."), _BATCH_RECOUNT
)
BATCH_UNENDED = FaultKind(
    "batch_unended",
    gettext_noop("A batch is closed and all its jobs have ended, but the batch has not."),
    _BATCH_RECOUNT,
)
SETTLED_REFUSED = FaultKind(
    "settled_refused",
    gettext_noop("A settled execution could not be counted in the fair order and in the worker time of its month."),
    "Counts it again, with the longest time that it can have used; the fault returns if its cause remains.",
)
# A batch is created before its jobs, perhaps in a transaction of its own, and ended jobs are folded a moment later.
BATCH_GRACE_SECONDS = 60
# Each batch counts its jobs, which may be many.
BATCH_ROWS = 500
_SQL = load_sql(__file__)
_BATCHES, _LOCK_BATCHES, _COUNT_BATCHES = _SQL["check_batches"], _SQL["lock_batches"], _SQL["count_batches"]
_REFUSED = _SQL["check_refused_rows"]


def check_batches(piece: CheckRange) -> CheckPage:
    """Compare the counters of batches with their jobs, and find batches that should have ended."""
    parameters = {"grace": BATCH_GRACE_SECONDS}
    return Table("scheduling_batch").look(_BATCHES, piece, parameters=parameters, rows=BATCH_ROWS)


def repair_batches(order: RepairOrder) -> None:
    """Write the recounted numbers, and let the next tick check whether each of the batches has ended."""
    for statement in (_LOCK_BATCHES, _COUNT_BATCHES):
        execute(statement, {"ids": order.subjects}, is_planned=True)


def check_refused_rows(piece: CheckRange) -> CheckPage:
    """Return a fault for each settled execution that a tick has set aside, with its error."""
    return Table("scheduling_settled_refused").look(_REFUSED, piece)


def repair_refused_rows(order: RepairOrder) -> None:
    """Put the rows back, so that the next tick processes them again."""
    assert order.tenant_id is not None  # every row has one
    restore_rows(tenant_id=order.tenant_id, ids=order.subjects)


BATCHES = StateCheck("batches", (BATCH_SHORT, BATCH_OVER, BATCH_COUNTER, BATCH_UNENDED), check_batches, repair_batches)
REFUSED = StateCheck("refused", (SETTLED_REFUSED,), check_refused_rows, repair_refused_rows)
