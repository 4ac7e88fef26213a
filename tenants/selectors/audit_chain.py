"""The rows of the chains in the order in which they are verified, page by page; and how much waits for its seal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from tenants.chain import PLATFORM_CHAIN, hash_row
from tenants.chain_check import Seal
from tenants.models import AuditCounter, AuditHead, AuditSeal

BACKLOG_CAP = 10_000
_NEXT_CHAIN = """
SELECT chain FROM (
    (SELECT chain FROM tenants_auditcounter WHERE chain > %(after)s ORDER BY chain LIMIT 1)
    UNION ALL (SELECT chain FROM tenants_auditseal WHERE chain > %(after)s ORDER BY chain LIMIT 1)
    UNION ALL (SELECT chain FROM tenants_audithead WHERE chain > %(after)s ORDER BY chain LIMIT 1)
    UNION ALL (SELECT tenant_id FROM tenants_auditlogentry WHERE tenant_id > %(after)s ORDER BY tenant_id LIMIT 1)
) c (chain) ORDER BY chain LIMIT 1
"""
_SEALS = """
SELECT s.sequence, s.entry_id, s.entry_hash, s.previous_hash, s.hash, s.sealed_at,
       e.id, e.tenant_id AS tenant, e.at, e.actor_kind, e.actor_id, e.actor_label, e.action, e.target_type, e.target_id,
       e.before::text AS before, e.after::text AS after, e.reason, e.request_id
FROM (
    SELECT * FROM tenants_auditseal
    WHERE chain = %(chain)s AND sequence >= %(sequence)s
      AND (sequence > %(sequence)s OR entry_id > %(entry)s)
    ORDER BY sequence, entry_id LIMIT %(limit)s
) s
LEFT JOIN tenants_auditlogentry e ON e.id = s.entry_id
ORDER BY s.sequence, s.entry_id
"""
# One statement, one snapshot: an entry is queued or sealed from the moment at which it exists.
_ENTRIES = """
SELECT e.id, s.entry_id IS NOT NULL, p.queued_at, now()
FROM (
    SELECT id FROM tenants_auditlogentry WHERE {whose} AND id > %(after)s ORDER BY id LIMIT %(limit)s
) e
LEFT JOIN tenants_auditseal s ON s.entry_id = e.id
LEFT JOIN tenants_auditpending p ON p.entry_id = e.id
ORDER BY e.id
"""
_BACKLOG = """
SELECT count(*), extract(epoch FROM now() - min(queued_at))
FROM (SELECT queued_at FROM tenants_auditpending LIMIT %s) p
"""


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
    with connection.cursor() as cursor:
        cursor.execute(_BACKLOG, [BACKLOG_CAP])
        waiting, oldest = cursor.fetchone()
    return SealBacklog(int(waiting), float(oldest or 0.0))


def find_next_chain(after: UUID | None) -> UUID | None:
    """The first chain after another one, by id; the platform's own comes first of all."""
    if after is None:
        return PLATFORM_CHAIN
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_CHAIN, {"after": after})
        found: tuple[UUID] | None = cursor.fetchone()
    return found[0] if found else None


def read_seals(chain: UUID, *, after: tuple[int, UUID], limit: int) -> list[Seal]:
    """The next seals of a chain with the hashes of their entries as they are now."""
    with connection.cursor() as cursor:
        cursor.execute(_SEALS, {"chain": chain, "sequence": after[0], "entry": after[1], "limit": limit})
        names = [column.name for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [_as_seal(row) for row in rows]


def read_entry_states(chain: UUID, *, after: UUID, limit: int) -> list[EntryState]:
    """The next entries of the log whose acts concern the chain's tenant, and whether they are sealed."""
    whose = "tenant_id IS NULL" if chain == PLATFORM_CHAIN else "tenant_id = %(chain)s"
    with connection.cursor() as cursor:
        cursor.execute(_ENTRIES.format(whose=whose), {"chain": chain, "after": after, "limit": limit})
        rows: list[tuple[UUID, bool, datetime | None, datetime]] = cursor.fetchall()
    return [
        EntryState(entry_id, is_sealed, None if queued_at is None else now - queued_at)
        for entry_id, is_sealed, queued_at, now in rows
    ]


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
