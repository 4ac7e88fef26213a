"""Signed heads: each records the end of one audit chain at one time, signed by a key that is not in the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from tenants.audit.chain import HeadKind, head_message, moment_text
from tenants.audit.sealing import leads
from tenants.audit.signing import is_signed, sign, signing_key_id
from tenants.context import all_tenants
from tenants.database.prepared import fetch_all
from tenants.database.reads import from_row
from tenants.database.sql import load_sql
from tenants.models import AuditHead

_BATCH_CHAINS: Final = 500
_SQL = load_sql(__file__)
_UNSIGNED, _LAST = _SQL["read_unsigned"], _SQL["read_last_heads"]


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A signed head in its exported form: one line of the export file."""

    chain: str
    kind: str
    sequence: int
    hash: str
    signed_at: str
    key_id: str
    signature: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def sign_heads() -> int:
    """Sign the current end of each chain that has grown since its last signature. Return how many were signed.

    Signing stops if another auditor holds the auditors' lock.
    """
    signed = 0
    after: UUID | None = None
    while True:
        with all_tenants():
            if not leads():
                return signed
            due = fetch_all(_UNSIGNED, {"after": after, "limit": _BATCH_CHAINS}, is_planned=True)
            AuditHead.objects.bulk_create([build_head("head", row.chain, row.sequence, row.hash) for row in due])
        signed += len(due)
        if len(due) < _BATCH_CHAINS:
            return signed
        after = due[-1].chain


def build_head(kind: HeadKind, chain: UUID, sequence: int, chain_hash: str) -> AuditHead:
    """Return a new signed head as an unsaved model instance."""
    signed_at, key_id = timezone.now(), signing_key_id()
    message = head_message(
        kind=kind, chain=chain, sequence=sequence, chain_hash=chain_hash, signed_at=signed_at, key_id=key_id
    )
    return AuditHead(
        chain=chain,
        kind=kind,
        sequence=sequence,
        hash=chain_hash,
        signed_at=signed_at,
        key_id=key_id,
        signature=sign(message),
    )


def export_head(head: AuditHead) -> SignedHead:
    """Return a stored head in its exported form."""
    return from_row(SignedHead, head, chain=str(head.chain), signed_at=moment_text(head.signed_at))


def is_head_signed(head: Mapping[str, Any]) -> bool | None:
    """Return whether the signature of an exported head is valid; None if this installation does not have the key."""
    try:
        message = head_message(
            kind=head["kind"],
            chain=UUID(head["chain"]),
            sequence=head["sequence"],
            chain_hash=head["hash"],
            signed_at=datetime.fromisoformat(head["signed_at"]),
            key_id=head["key_id"],
        )
        return is_signed(message, signature=head["signature"], key_id=head["key_id"])
    except (KeyError, ValueError, TypeError, AttributeError):
        # A writer of the database can also store what is no head at all.
        return False


def last_heads() -> Iterator[dict[str, Any]]:
    """Yield the latest signed head of each chain, as a dict in the exported form."""
    after: UUID | None = None
    while True:
        with all_tenants():
            heads = list(AuditHead.objects.raw(_LAST, {"after": after, "limit": _BATCH_CHAINS}))
        yield from (export_head(head).as_dict() for head in heads)
        if len(heads) < _BATCH_CHAINS:
            return
        after = heads[-1].chain
