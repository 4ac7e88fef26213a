"""A way to restrict reads to index scans, where PostgreSQL's planner would read a whole table to find a part of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tenants.database.prepared import execute

_ALONE = "SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off"
_AS_BEFORE = "RESET enable_bitmapscan; RESET enable_seqscan; RESET enable_sort"


@contextmanager
def force_index_scans() -> Iterator[None]:
    """Forbid sequential scans, bitmap scans and sorts for the statements of the block, inside a transaction."""
    execute(_ALONE, is_planned=True)
    yield
    # Not after an error, which ends the transaction, and with it the settings.
    execute(_AS_BEFORE, is_planned=True)
