"""Settled rows that no tick could fold."""

from __future__ import annotations

from scheduling.services.consistency.pieces import Table
from scheduling.services.consistency.registry import FaultKind, Look, Piece, RepairOrder, StateCheck
from scheduling.services.dispatching.refused import put_back

SETTLED_REFUSED = FaultKind(
    "settled_refused",
    "A settled execution could not be counted into the fair order and the worker time of its month.",
    "Counts it once more, with the time that it can have used at most; it comes back if its cause is still there.",
)
_LOOK = """
SELECT 'settled_refused', tenant_id, id::text, error FROM scheduling_settled_refused WHERE <piece>
"""


def look(piece: Piece) -> Look:
    """Return the rows that are set aside, each with its error."""
    return Table("scheduling_settled_refused").look(_LOOK, piece)


def repair(order: RepairOrder) -> None:
    """Put the rows back among those that the next tick folds."""
    assert order.tenant_id is not None  # every row has one
    put_back(tenant_id=order.tenant_id, ids=order.subjects)


CHECKS = (StateCheck("refused", (SETTLED_REFUSED,), look, repair),)
