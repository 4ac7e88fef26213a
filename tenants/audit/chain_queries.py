"""The rows of the chains in the order in which they are verified, page by page; and how much waits for its seal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, dict_row, scalar_row

from tenants.audit.chain import PLATFORM_CHAIN, hash_row
from tenants.audit.chain_check import Seal
from tenants.database.prepared import planned_cursor
from tenants.database.sql import load_sql
from tenants.models import AuditCounter, AuditHead, AuditSeal

BACKLOG_CAP = 10_000
_SQL = load_sql(__file__)
_NEXT_CHAIN, _SEALS, _BACKLOG = _SQL["find_next_chain"], _SQL["read_seals"], _SQL["read_backlog"]


@dataclass(frozen=True, slots=True)
class SealBacklog:
    """Entries that wait for their seal (counted up to BACKLOG_CAP), and how long the oldest of them has waited."""

    waiting: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class EntryState:
    """Whether an entry is sealed, or for how long it has waited; None: neither sealed nor waiting."""

    entry_id: UUID
    is_sealed: bool
    waited: timedelta | None


def read_seal_backlog() -> SealBacklog:
    """What of the present scope waits for the sealer: more than a second of age means that none is at work."""
    with planned_cursor(class_row(SealBacklog)) as cursor:
        cursor.execute(_BACKLOG, {"limit": BACKLOG_CAP})
        backlog: SealBacklog = cursor.fetchone()
    return backlog


def find_next_chain(after: UUID | None) -> UUID | None:
    """The first chain after another one, by id; the platform's own comes first of all."""
    if after is None:
        return PLATFORM_CHAIN
    with planned_cursor(scalar_row) as cursor:
        cursor.execute(_NEXT_CHAIN, {"after": after})
        found: UUID | None = cursor.fetchone()
    return found


def read_seals(chain: UUID, *, after: tuple[int, UUID], limit: int) -> list[Seal]:
    """The next seals of a chain with the hashes of their entries as they are now."""
    with planned_cursor(dict_row) as cursor:
        cursor.execute(_SEALS, {"chain": chain, "sequence": after[0], "entry": after[1], "limit": limit})
        return [_as_seal(row) for row in cursor.fetchall()]


def read_entry_states(chain: UUID, *, after: UUID, limit: int) -> list[EntryState]:
    """The next entries of the log whose acts concern the chain's tenant, and whether they are sealed."""
    statement = _SQL["read_platform_entries" if chain == PLATFORM_CHAIN else "read_entries"]
    with planned_cursor(class_row(EntryState)) as cursor:
        cursor.execute(statement, {"chain": chain, "after": after, "limit": limit})
        return list(cursor.fetchall())


def estimate_seals(chain: UUID) -> int:
    """Return about how many seals a verification of a chain will see."""
    seals = AuditSeal._base_manager.filter(chain=chain).order_by("sequence").values_list("sequence", flat=True)
    first, last = seals.first(), seals.last()
    return 0 if first is None or last is None else last - first + 1


def find_checkpoint(chain: UUID) -> AuditHead | None:
    """The place up to which a chain was pruned last."""
    return AuditHead._base_manager.filter(chain=chain, kind=AuditHead.Kind.CHECKPOINT).order_by("-sequence").first()


def find_heads(chain: UUID, *, above: int, up_to: int | None = None) -> Sequence[AuditHead]:
    """The signed heads of a stretch of a chain; without an end the last one of all that are above."""
    heads = AuditHead._base_manager.filter(chain=chain, sequence__gt=above).exclude(kind=AuditHead.Kind.FINAL)
    if up_to is None:
        return list(heads.order_by("-sequence")[:1])
    return list(heads.filter(sequence__lte=up_to).order_by("sequence"))


def find_counter(chain: UUID) -> AuditCounter:
    """Return how far a chain has ever come; of a chain without a counter, one that has not begun."""
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
