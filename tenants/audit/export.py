"""Audit entries as they are exported: with all that an independent verification of the chain needs."""

from __future__ import annotations

from typing import Any, Final

from tenants.audit.chain import ENTRY_FIELDS, chain_of, moment_text
from tenants.models import AuditLogEntry

SEAL_FIELDS: Final = ("chain", "sequence", "entry_hash", "previous_hash", "hash", "sealed_at")


def describe_entry(entry: AuditLogEntry) -> dict[str, Any]:
    """Return an entry with all hashed fields, and its seal."""
    described: dict[str, Any] = {name: getattr(entry, name) for name in ENTRY_FIELDS if name != "tenant"}
    described |= {"id": str(entry.pk), "at": moment_text(entry.at)}
    described["tenant"] = None if entry.tenant_id is None else str(entry.tenant_id)
    seal = getattr(entry, "seal", None)
    sealed = {name: None if seal is None else getattr(seal, name) for name in SEAL_FIELDS}
    sealed["chain"] = str(chain_of(entry.tenant_id))
    sealed["sealed_at"] = None if seal is None else moment_text(seal.sealed_at)
    return {**{name: described[name] for name in ENTRY_FIELDS}, **sealed}
