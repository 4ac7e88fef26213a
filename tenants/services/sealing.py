"""Sealing: entries that have been committed get the next places in their chains, in one set statement a turn.

Acts only append to the log, so no act waits for another. The auditor seals what is committed: what commits later gets
a later place. Several auditors at once are safe: a turn holds a lock for its transaction, and an auditor that does not
get it has nothing to do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from tenants.chain import GENESIS, Link, chain_of, hash_row
from tenants.context import all_tenants
from tenants.locks import LockClass
from tenants.prepared import prepared_cursor

TURN_ENTRIES: Final = 500
# A sealer that is stopped in a turn is cut off after this, and its lock with it.
_SETTINGS = {"idle_in_transaction_session_timeout": "2s"}
_WAITING = """
SELECT p.entry_id, s.entry_id IS NOT NULL AS is_sealed, e.id, e.tenant_id AS tenant, e.at, e.actor_kind, e.actor_id,
       e.actor_label, e.action, e.target_type, e.target_id, e.before::text AS before, e.after::text AS after,
       e.reason, e.request_id, now() AS sealed_at
FROM (SELECT entry_id FROM tenants_auditpending ORDER BY entry_id LIMIT %s) p
LEFT JOIN tenants_auditlogentry e ON e.id = p.entry_id
LEFT JOIN tenants_auditseal s ON s.entry_id = p.entry_id
ORDER BY p.entry_id
"""
# Also of a chain that was erased: it goes on from its final head.
_HEADS = "SELECT chain, sequence, hash FROM tenants_auditcounter WHERE chain = ANY (%s::uuid[])"
_SEAL = """
WITH taken AS (DELETE FROM tenants_auditpending WHERE entry_id = ANY (%s))
INSERT INTO tenants_auditseal (entry_id, chain, sequence, entry_hash, previous_hash, hash, sealed_at)
SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::timestamptz[])
"""


def seal_entries(*, budget_seconds: float = 0.05) -> int:
    """Seal what waits, turn by turn, while there is more and time; how many entries were sealed."""
    ends_at = time.monotonic() + budget_seconds
    sealed = 0
    while True:
        taken, of_turn = _seal_turn()
        sealed += of_turn
        if taken < TURN_ENTRIES or time.monotonic() >= ends_at:
            return sealed


def leads(cursor: CursorWrapper) -> bool:
    """Take the auditors' lock for the present transaction; return False if another auditor holds it."""
    cursor.execute(f"SELECT {LockClass.SEALING.attempt()}")
    return bool(cursor.fetchone() == (True,))


def _seal_turn() -> tuple[int, int]:
    """One transaction: how many places of the queue it emptied, and how many entries it sealed."""
    with all_tenants(_SETTINGS), prepared_cursor() as cursor:
        if not leads(cursor):
            return 0, 0
        cursor.execute(_WAITING, [TURN_ENTRIES])
        names = [column.name for column in cursor.description or ()]
        waiting = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        if not waiting:
            return 0, 0
        # An entry whose place in the queue was made by hand is sealed already, or is not there: only the place goes.
        entries = [row for row in waiting if row["id"] is not None and not row["is_sealed"]]
        cursor.execute(_HEADS, [list({chain_of(entry["tenant"]) for entry in entries})])
        heads = {chain: (sequence, chain_hash) for chain, sequence, chain_hash in cursor.fetchall()}
        seals = _link(entries, heads)
        columns = [list(column) for column in zip(*seals, strict=True)] or [[] for _ in range(7)]
        cursor.execute(_SEAL, [[row["entry_id"] for row in waiting], *columns])
    return len(waiting), len(seals)


def _link(
    entries: Sequence[Mapping[str, Any]], heads: Mapping[UUID, tuple[int, str]]
) -> list[tuple[UUID, UUID, int, str, str, str, datetime]]:
    """Give each entry its place after the head of its chain, as rows of seals."""
    ends = dict(heads)
    seals = []
    for entry in entries:
        chain = chain_of(entry["tenant"])
        sequence, previous = ends.get(chain, (0, GENESIS))
        link = Link(chain, sequence + 1, hash_row(entry), previous, entry["sealed_at"])
        ends[chain] = (link.sequence, link.hash())
        seals.append((entry["id"], chain, link.sequence, link.entry_hash, previous, ends[chain][1], entry["sealed_at"]))
    return seals
