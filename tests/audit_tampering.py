"""Manipulations of the audit log by an owner of its tables."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg

from tenants.audit.chain import GENESIS, Link, hash_row


def rehash(owner: psycopg.Connection[Any], chain: UUID) -> None:
    """Recompute every hash of a chain, by the documented formula."""
    previous = GENESIS
    seals = owner.execute(
        "SELECT entry_id, sequence, sealed_at FROM tenants_auditseal WHERE chain = %s ORDER BY sequence", [chain]
    ).fetchall()
    for sequence, (entry_id, old, sealed_at) in enumerate(seals, start=1):
        cursor = owner.execute(
            "SELECT id, tenant_id AS tenant, at, actor_kind, actor_id, actor_label, action, target_type, target_id,"
            " before::text AS before, after::text AS after, reason, request_id"
            " FROM tenants_auditlogentry WHERE id = %s",
            [entry_id],
        )
        row = dict(zip([column.name for column in cursor.description], cursor.fetchone(), strict=True))
        link = Link(chain, sequence, hash_row(row), previous, sealed_at)
        owner.execute(
            "UPDATE tenants_auditseal SET sequence = %s, entry_hash = %s, previous_hash = %s, hash = %s"
            " WHERE entry_id = %s AND sequence = %s",
            [sequence, link.entry_hash, previous, link.hash(), entry_id, old],
        )
        previous = link.hash()


def cut_end(owner: psycopg.Connection[Any], chain: UUID, above: int) -> None:
    """Delete the last entries of a chain with their seals."""
    owner.execute(
        "DELETE FROM tenants_auditlogentry WHERE id IN"
        " (SELECT entry_id FROM tenants_auditseal WHERE chain = %s AND sequence > %s)",
        [chain, above],
    )
    owner.execute("DELETE FROM tenants_auditseal WHERE chain = %s AND sequence > %s", [chain, above])
