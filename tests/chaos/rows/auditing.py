"""Audit log with manipulations by an owner of its tables."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg

from tenants.audit.heads import last_heads
from tenants.audit.verification import verify_chains
from tests.audit_tampering import cut_end, rehash
from tests.auditing import sign_heads
from tests.chaos.row import Field, Row

ACTS = 30
TABLES = ("tenants_auditlogentry", "tenants_auditseal", "tenants_audithead", "tenants_auditcounter")
_LAST = "SELECT max(sequence) FROM tenants_auditseal WHERE chain = %s"
_OF_PLACE = "(SELECT entry_id FROM tenants_auditseal WHERE chain = %s AND sequence = %s)"

type Owner = psycopg.Connection[Any]
type Tampering = Callable[[Owner, UUID, int], object]


def edit(owner: Owner, chain: UUID, place: int) -> None:
    owner.execute(f"UPDATE tenants_auditlogentry SET reason = 'another' WHERE id = {_OF_PLACE}", [chain, place])


def delete(owner: Owner, chain: UUID, place: int) -> None:
    owner.execute(f"DELETE FROM tenants_auditlogentry WHERE id = {_OF_PLACE}", [chain, place])


def cut(owner: Owner, chain: UUID, place: int) -> None:
    cut_end(owner, chain, above=place)


def reorder(owner: Owner, chain: UUID, place: int) -> None:
    owner.execute(
        "UPDATE tenants_auditseal SET sequence = CASE sequence WHEN %s THEN %s ELSE %s END"
        " WHERE chain = %s AND sequence IN (%s, %s)",
        [place, place + 1, place, chain, place, place + 1],
    )


def fork(owner: Owner, chain: UUID, place: int) -> None:
    owner.execute(
        "INSERT INTO tenants_auditseal SELECT gen_random_uuid(), chain, sequence, entry_hash, previous_hash,"
        " repeat('b', 64), sealed_at FROM tenants_auditseal WHERE chain = %s AND sequence = %s",
        [chain, place],
    )


def rehash_end(owner: Owner, chain: UUID, place: int) -> None:
    edit(owner, chain, place)
    rehash(owner, chain)


TAMPERINGS: dict[str, tuple[Tampering, set[str]]] = {
    "edited": (edit, {"entry_edited"}),
    "deleted": (delete, {"entry_missing"}),
    "cut": (cut, {"end_missing"}),
    "reordered": (reorder, {"order_changed"}),
    "forked": (fork, {"fork"}),
    "rehashed": (rehash_end, {"head_differs"}),
}


class AuditTampered(Row):
    id, fault = (
        "A1",
        "the audit log edited, truncated, reordered, forked or rehashed, or an entry deleted, at a random place",
    )
    bound_seconds, measured = 30.0, "duration of the verification that detects it; each is detected"
    traffic = None
    # Entries sealed meanwhile would be lost when the log is restored.
    is_watched = False

    def inject(self, field: Field) -> list[float]:
        for _ in range(ACTS):
            field.submit(0, "noop", {})
        chain = field.tenants[0]
        field.stack.until(
            lambda: not field.view.number("SELECT count(*) FROM tenants_auditpending"), within=20, what="all is sealed"
        )
        sign_heads()
        field.note_fault()
        recoveries = []
        with psycopg.connect(field.stack.addresses.admin_url, autocommit=True) as owner:
            _disable_protection(owner)
            for name in field.rng.sample(list(TAMPERINGS), len(TAMPERINGS)):
                tamper, wanted = TAMPERINGS[name]
                tamper(owner, chain, field.rng.randrange(2, int(field.view.number(_LAST, [chain])) - 1))
                recoveries.append(_detect(field, name, wanted))
                _restore(owner)
                if not verify_chains().is_intact:
                    raise AssertionError(f"The log was not put back after it had been {name}.")
            _enable_protection(owner)
        return recoveries


def _detect(field: Field, name: str, wanted: set[str]) -> float:
    began = time.monotonic()
    found = {finding.kind for finding in verify_chains(heads=list(last_heads())).findings}
    if not found & wanted:
        field.violations.append(f"I5: a log that was {name} is not detected: {sorted(found)}, not {sorted(wanted)}")
    return time.monotonic() - began


def _disable_protection(owner: Owner) -> None:
    """Disable triggers and the unique key for this session, and keep a copy of the tables."""
    owner.execute("SET session_replication_role = replica")
    owner.execute("ALTER TABLE tenants_auditseal DROP CONSTRAINT audit_seal_sequence_unique")
    for table in TABLES:
        owner.execute(f"CREATE TABLE kept_{table} AS TABLE {table}")


def _restore(owner: Owner) -> None:
    with owner.transaction():
        for table in TABLES:
            owner.execute(f"DELETE FROM {table}")
            owner.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}")


def _enable_protection(owner: Owner) -> None:
    owner.execute("ALTER TABLE tenants_auditseal ADD CONSTRAINT audit_seal_sequence_unique UNIQUE (chain, sequence)")
    for table in TABLES:
        owner.execute(f"DROP TABLE kept_{table}")


ROWS = (AuditTampered,)
