"""Manifest of a backup: what it contains, with hashes and numbers of rows, signed with the key of the audit log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.backups.exceptions import BackupDamagedError, BackupKeyError
from tenants.audit.signing import is_signed, sign, signing_key_id
from tenants.encryption.data_keys import master_keys
from tenants.encryption.envelope import SealBrokenError

VERSION: Final = 1
MANIFEST: Final = "manifest.json"
DATABASE_PART: Final = "database.dump.enc"
FILES_PART: Final = "files.tar.enc"
MAX_BYTES: Final = 64 * 1024 * 1024
# Keys of backups belong to no tenant.
NO_TENANT: Final = UUID(int=0)
_PREFIX: Final = b"backup manifest\n"


@dataclass(frozen=True, slots=True)
class Part:
    """An object of a backup: its name, its size in bytes, and the SHA-256 of its encrypted bytes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Facts of one backup. ``tables`` has the rows of each table as the platform role sees them.

    ``heads`` are the signed heads of the audit chains at that moment; ``wrapped_key`` is the backup's key in
    hexadecimal digits, encrypted by the master key ``master_key_id``.
    """

    id: UUID
    name: str
    taken_at: datetime
    server_version: int
    dump_version: int
    master_key_id: str
    wrapped_key: str
    tables: Mapping[str, int]
    heads: Sequence[Mapping[str, Any]]
    files: int
    missing_files: Sequence[str]
    parts: Sequence[Part]

    @property
    def size(self) -> int:
        """Return the bytes of all parts."""
        return sum(part.size for part in self.parts)

    @property
    def rows(self) -> int:
        """Return the rows of all tables."""
        return sum(self.tables.values())

    def secret(self) -> bytes:
        """Return the backup's key; raise BackupKeyError if its master key is not configured here."""
        try:
            wrapped = bytes.fromhex(self.wrapped_key)
            return master_keys().unwrap(wrapped, master_id=self.master_key_id, tenant_id=NO_TENANT, key_id=self.id)
        except KeyError as error:
            raise BackupKeyError(
                gettext_noop("ENCRYPTION_MASTER_KEYS lacks the master key %(key)s, which encrypted the backup."),
                {"key": self.master_key_id},
            ) from error
        except SealBrokenError as error:
            raise BackupDamagedError(gettext_noop("The backup is refused: its key was altered.")) from error

    def signed(self) -> bytes:
        """Return the stored form with its signature; raise SigningKeyMissingError in a process that cannot sign."""
        facts = _facts(self)
        document = {"manifest": facts, "key_id": signing_key_id(), "signature": sign(_message(facts))}
        return json.dumps(document, indent=1, ensure_ascii=False).encode()

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Return the manifest of the stored form; raise BackupDamagedError or BackupKeyError unless it is signed."""
        try:
            document = json.loads(data)
            facts = document["manifest"]
            verdict = is_signed(_message(facts), signature=document["signature"], key_id=document["key_id"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BackupDamagedError(gettext_noop("The backup is refused: its manifest cannot be read.")) from error
        if verdict is None:
            raise BackupKeyError(
                gettext_noop("AUDIT_PUBLIC_KEYS lacks the key %(key)s, which signed the backup."),
                {"key": document["key_id"]},
            )
        if not verdict:
            raise BackupDamagedError(gettext_noop("The backup is refused: its signature does not match."))
        if facts.pop("version") != VERSION:
            raise BackupDamagedError(gettext_noop("The backup is refused: it is of another release."))
        parts = tuple(Part(**part) for part in facts.pop("parts"))
        known: dict[str, Any] = {"id": UUID(facts.pop("id")), "taken_at": datetime.fromisoformat(facts.pop("taken_at"))}
        return cls(**known, parts=parts, **facts)


def _facts(manifest: Manifest) -> dict[str, Any]:
    facts: dict[str, Any] = {"version": VERSION, **asdict(manifest)}
    facts["id"], facts["taken_at"] = str(manifest.id), manifest.taken_at.isoformat()
    return facts


def _message(facts: Mapping[str, Any]) -> bytes:
    return _PREFIX + json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
