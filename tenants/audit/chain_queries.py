"""Queries that read chains of the audit log page by page for verification, and count the entries without a seal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, dict_row, scalar_row

from tenants.audit.chain import PLATFORM_CHAIN, hash_row
from tenants.audit.chain_check import Seal
from tenants.database.prepared import fetch_all, fetch_one
from tenants.database.sql import load_sql
from tenants.models import AuditCounter, AuditHead, AuditSeal

BACKLOG_CAP = 10_000
_SQL = load_sql(__file__)
_NEXT_CHAIN, _SEALS, _BACKLOG = _SQL["find_next_chain"], _SQL["read_seals"], _SQL["read_backlog"]


@dataclass(frozen=True, slots=True)
class SealBacklog:
    """The number of audit entries without a seal (counted up to BACKLOG_CAP), and the age of the oldest in seconds."""

    waiting: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class EntryState:
    """One audit entry, whether it is sealed, and how long it has waited for its seal.

    `waited` is None if the entry is sealed or not queued.
    """

    entry_id: UUID
    is_sealed: bool
    waited: timedelta | None


def read_seal_backlog() -> SealBacklog:
    """Return the current scope's backlog of entries without a seal.

    If the oldest has waited for more than one second, no sealer runs.
    """
    backlog: SealBacklog = fetch_one(_BACKLOG, {"limit": BACKLOG_CAP}, class_row(SealBacklog), is_planned=True)
    return backlog


def find_next_chain(after: UUID | None) -> UUID | None:
    """Return the id of the chain that follows `after` in the order of ids, or None at the end.

    If `after` is None, the platform's own chain is returned.
    """
    if after is None:
        return PLATFORM_CHAIN
    found: UUID | None = fetch_one(_NEXT_CHAIN, {"after": after}, scalar_row, is_planned=True)
    return found


def read_seals(chain: UUID, *, after: tuple[int, UUID], limit: int) -> list[Seal]:
    """Return the next seals of a chain with the hashes of their entries as now stored.

    `after` is the sequence and entry id of the last seal already read.
    """
    values = {"chain": chain, "sequence": after[0], "entry": after[1], "limit": limit}
    return [_as_seal(row) for row in fetch_all(_SEALS, values, dict_row, is_planned=True)]


def read_entry_states(chain: UUID, *, after: UUID, limit: int) -> list[EntryState]:
    """Return the next audit entries that belong in the chain, by id, and whether each is sealed."""
    statement = _SQL["read_platform_entries" if chain == PLATFORM_CHAIN else "read_entries"]
    return fetch_all(
        statement, {"chain": chain, "after": after, "limit": limit}, class_row(EntryState), is_planned=True
    )


def estimate_seals(chain: UUID) -> int:
    """Return approximately how many seals a verification of the chain will read."""
    seals = AuditSeal._base_manager.filter(chain=chain).order_by("sequence").values_list("sequence", flat=True)
    first, last = seals.first(), seals.last()
    return 0 if first is None or last is None else last - first + 1


def find_checkpoint(chain: UUID) -> AuditHead | None:
    """Return the latest checkpoint of a chain (the signed head up to which it was pruned), or None."""
    return AuditHead._base_manager.filter(chain=chain, kind=AuditHead.Kind.CHECKPOINT).order_by("-sequence").first()


def find_heads(chain: UUID, *, above: int, up_to: int | None = None) -> Sequence[AuditHead]:
    """Return the signed heads whose sequence is above `above` and at most `up_to`, in order, without final heads.

    Without `up_to` only the last such head is returned.
    """
    heads = AuditHead._base_manager.filter(chain=chain, sequence__gt=above).exclude(kind=AuditHead.Kind.FINAL)
    if up_to is None:
        return list(heads.order_by("-sequence")[:1])
    return list(heads.filter(sequence__lte=up_to).order_by("sequence"))


def find_counter(chain: UUID) -> AuditCounter:
    """Return the counter of a chain (its furthest end); an unsaved one at zero if there is none."""
    return AuditCounter._base_manager.filter(chain=chain).first() or AuditCounter(chain=chain)


def _as_seal(row: dict[str, Any]) -> Seal:
    return Seal(
        sequence=row["sequence"],
        entry_id=row["entry_id"],
        entry_hash=row["entry_hash"],
        previous_hash=row["previous_hash"],
        hash=row["hash"],
        sealed_at=row["sealed_at"],
        actual_hash=None if row["id"] is None else hash_row(row),
    )
