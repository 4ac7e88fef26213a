"""Sealing: committed audit entries get the next positions in their hash chains, one batch per transaction.

Code that writes an entry only appends to the log, so writers do not wait for each other. The auditor seals what is
committed; an entry that commits later gets a later position. Several auditors may run: each batch holds a lock for its
transaction, and an auditor that does not get the lock does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import dict_row, scalar_row

from tenants.audit.chain import GENESIS, Link, chain_of, hash_row
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.prepared import execute, fetch_all, fetch_one
from tenants.database.sql import load_sql

TURN_ENTRIES: Final = 500
# A sealer that is suspended during a batch is disconnected after this, which releases its lock.
_SETTINGS = {"idle_in_transaction_session_timeout": "2s"}
_SQL = load_sql(__file__)
_WAITING, _HEADS, _SEAL = _SQL["read_waiting"], _SQL["read_heads"], _SQL["seal_entries"]
# The columns of a seal, as parameters.
_COLUMNS = ("entry_ids", "chains", "sequences", "entry_hashes", "previous_hashes", "hashes", "sealed_at")


def seal_entries(*, budget_seconds: float = 0.05) -> int:
    """Seal the entries that wait, in batches, until none is left or `budget_seconds` have passed.

    Return how many were sealed.
    """
    ends_at = time.monotonic() + budget_seconds
    sealed = 0
    while True:
        taken, of_turn = _seal_turn()
        sealed += of_turn
        if taken < TURN_ENTRIES or time.monotonic() >= ends_at:
            return sealed


def leads() -> bool:
    """Try to take the auditors' lock until the transaction ends; return False if another auditor holds it."""
    return bool(fetch_one(f"SELECT {LockClass.SEALING.attempt()}", row_factory=scalar_row))


def _seal_turn() -> tuple[int, int]:
    """Seal one batch in a transaction. Return how many queue rows it removed and how many entries it sealed."""
    with all_tenants(_SETTINGS):
        if not leads():
            return 0, 0
        waiting = fetch_all(_WAITING, {"limit": TURN_ENTRIES}, dict_row)
        if not waiting:
            return 0, 0
        # A queue row written by hand has no entry, or a sealed one: only the queue row is removed.
        entries = [row for row in waiting if row["id"] is not None and not row["is_sealed"]]
        last = fetch_all(_HEADS, {"chains": list({chain_of(entry["tenant"]) for entry in entries})})
        heads = {row.chain: (row.sequence, row.hash) for row in last}
        seals = _link(entries, heads)
        columns = {name: [seal[place] for seal in seals] for place, name in enumerate(_COLUMNS)}
        execute(_SEAL, {"taken": [row["entry_id"] for row in waiting], **columns})
    return len(waiting), len(seals)


def _link(
    entries: Sequence[Mapping[str, Any]], heads: Mapping[UUID, tuple[int, str]]
) -> list[tuple[UUID, UUID, int, str, str, str, datetime]]:
    """Return the seals of the entries, each after the head of its chain."""
    ends = dict(heads)
    seals = []
    for entry in entries:
        chain = chain_of(entry["tenant"])
        sequence, previous = ends.get(chain, (0, GENESIS))
        link = Link(chain, sequence + 1, hash_row(entry), previous, entry["sealed_at"])
        ends[chain] = (link.sequence, link.hash())
        seals.append((entry["id"], chain, link.sequence, link.entry_hash, previous, ends[chain][1], entry["sealed_at"]))
    return seals
