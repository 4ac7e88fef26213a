"""Signed snapshot of the states, checkpoints and live executions of all open jobs of one moment, as JSON lines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
from django.utils.translation import gettext_noop

from scheduling.backups.exceptions import BackupDamagedError, BackupTargetError, RestoreTargetExistsError
from scheduling.backups.models import Backup
from scheduling.backups.snapshot import become_platform, connect, conninfo_of, database_name
from scheduling.jobs.lifecycle import TERMINAL_STATES
from tenants.audit.service import AuditTarget, record_audit
from tenants.audit.signing import is_signed, sign, signing_key_id
from tenants.context import all_tenants
from tenants.database.conf import APP_ALIAS
from tenants.database.sql import load_sql
from tenants.models import Tenant

_SQL = load_sql(__file__)
_PREFIX: Final = b"state snapshot\n"
_MAX_LINE_BYTES: Final = 4_096


def take_snapshot(path: Path, tenant: Tenant | None) -> Backup:
    """Write the snapshot to a new file and return its row, which the page *Backups* shows.

    The last line has the SHA-256 of the others and its signature. Raise RestoreTargetExistsError if the file exists.
    """
    digest, count = hashlib.sha256(), -1
    try:
        with connect(conninfo_of(APP_ALIAS, database_name())) as source, path.open("xb") as file:
            moment = _begin(source)
            for line in (json.dumps({"taken_at": moment, "tenant": tenant and tenant.slug}), *_read(source, tenant)):
                digest.update(line.encode() + b"\n")
                file.write(line.encode() + b"\n")
                count += 1
            seal = {"jobs": count, "sha256": digest.hexdigest(), "key_id": signing_key_id()}
            file.write(json.dumps({**seal, "signature": sign(_PREFIX + digest.digest())}).encode() + b"\n")
    except FileExistsError as error:
        raise RestoreTargetExistsError(gettext_noop("The file %(path)s exists."), {"path": str(path)}) from error
    except OSError as error:
        raise BackupTargetError(
            gettext_noop("%(target)s cannot be used: %(error)s"), {"target": str(path), "error": str(error)}
        ) from error
    facts = {"path": str(path), "jobs": count, "sha256": seal["sha256"]}
    with all_tenants():
        target = AuditTarget("scheduling.backup", path.name[:60], tenant_id=tenant.pk if tenant else None)
        record_audit(action="snapshot.taken", target=target, after=facts)
        return Backup.objects.create(
            kind=Backup.Kind.SNAPSHOT,
            name=path.name[:60],
            target=str(path)[:300],
            taken_at=moment,
            size_bytes=path.stat().st_size,
            row_count=count,
        )


def verify_snapshot(path: Path) -> int:
    """Return the number of jobs of a snapshot; raise BackupDamagedError unless it is whole and signed."""
    digest, last = hashlib.sha256(), b""
    with path.open("rb") as file:
        for line in file:
            digest.update(last)
            last = line
    try:
        seal = json.loads(last[:_MAX_LINE_BYTES])
        is_good = seal["sha256"] == digest.hexdigest() and is_signed(
            _PREFIX + digest.digest(), signature=seal["signature"], key_id=seal["key_id"]
        )
        if is_good:
            return int(seal["jobs"])
    except (ValueError, KeyError, TypeError) as error:
        raise BackupDamagedError(gettext_noop("The snapshot is refused: its last line cannot be read.")) from error
    raise BackupDamagedError(gettext_noop("The snapshot is refused: it was changed, or its key is unknown."))


def _begin(source: psycopg.Connection[dict[str, Any]]) -> str:
    """Begin the transaction whose snapshot is written, as the platform role; return its time."""
    source.isolation_level, source.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
    become_platform(source)
    row = source.execute("SELECT now() AS at").fetchone()
    return str(row["at"].isoformat()) if row else ""


def _read(source: psycopg.Connection[dict[str, Any]], tenant: Tenant | None) -> Iterator[str]:
    values = {"terminal": [str(state) for state in TERMINAL_STATES], "tenant": tenant.pk if tenant else None}
    with source.cursor(name="states") as cursor:
        for row in cursor.execute(_SQL["read_states"], values):
            yield row["line"]
