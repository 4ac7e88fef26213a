"""Restoring the rows and files of one tenant from a backup into the running platform."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import psycopg
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models import Sum
from django.utils.translation import gettext, gettext_noop
from psycopg import sql

from scheduling.backups.exceptions import BackupNotFoundError, TenantNotRestorableError
from scheduling.backups.files import read_seal_keys, restore_files
from scheduling.backups.manifest import FILES_PART, Manifest
from scheduling.backups.restore import scratch_database
from scheduling.backups.service import read_part
from scheduling.backups.snapshot import connect, reader_conninfo
from scheduling.backups.target import StreamFile, Target
from scheduling.models import Charge, ControlRule, EvidencePack, LiveExecution
from tenants.approvals.service import require_approval
from tenants.audit.service import record_audit
from tenants.context import all_tenants
from tenants.database.sql import load_sql
from tenants.encryption.envelope import DataKey
from tenants.erasure.catalog import TenantTable, tenant_tables
from tenants.holds.service import refuse_if_held
from tenants.models import (
    AccessReview,
    AccessReviewLine,
    ApiKey,
    ApprovalRequest,
    AuditHead,
    AuditLogEntry,
    AuditPending,
    AuditSeal,
    ErasureStatus,
    Invitation,
    LegalHold,
    Membership,
    Tenant,
    TenantDataKey,
    TenantErasure,
    TenantRole,
    TenantSecret,
    TenantStatus,
)

_SQL = load_sql(__file__)
# The tenant itself with its audit log, which goes on, and access, approvals, controls, evidence packs and legal holds:
# what was revoked, decided, made or released since stays so.
_KEPT: Final = frozenset(
    model._meta.db_table
    for model in (
        AuditHead,
        AuditLogEntry,
        AuditPending,
        AuditSeal,
        Tenant,
        AccessReview,
        AccessReviewLine,
        ApiKey,
        ApprovalRequest,
        Invitation,
        LegalHold,
        Membership,
        TenantRole,
        TenantSecret,
        ControlRule,
        EvidencePack,
    )
)
# Kept values are sealed with newer keys, and restored ones with older: both stay.
_KEYS: Final = TenantDataKey._meta.db_table
_BATCH_ROWS: Final = 1_000
_TIMEOUTS: Final = {"statement_timeout": "0", "lock_timeout": "10s"}


def find_backup(target: Target, at: datetime) -> Manifest:
    """Return the manifest of the newest backup taken at or before a time; raise BackupNotFoundError."""
    for name in target.names():
        manifest = target.read_manifest(name)
        if manifest.taken_at <= at:
            return manifest
    raise BackupNotFoundError(
        gettext_noop("%(target)s has no backup taken at or before %(at)s."),
        {"target": target.address, "at": at.isoformat()},
    )


def require_restorable(slug: str) -> Tenant:
    """Return the suspended tenant, locked; raise TenantNotRestorableError or LegalHoldError.

    The caller sees all tenants.
    """
    tenant = Tenant.objects.select_for_update(no_key=True).filter(slug=slug).first()
    if tenant is None:
        raise TenantNotRestorableError(gettext_noop("There is no tenant %(slug)s."), {"slug": slug})
    refuse_if_held(tenant.pk)
    if TenantErasure.objects.filter(subject_id=tenant.pk).exclude(status=ErasureStatus.CANCELLED).exists():
        raise TenantNotRestorableError(gettext_noop("The tenant %(slug)s is being erased."), {"slug": slug})
    if tenant.status != TenantStatus.SUSPENDED or LiveExecution.objects.filter(tenant=tenant).exists():
        raise TenantNotRestorableError(
            gettext_noop("Suspend the tenant %(slug)s with “manage.py suspend_tenant”, and wait until its jobs ended."),
            {"slug": slug},
        )
    return tenant


def restore_tenant(target: Target, manifest: Manifest, slug: str, *, reason: str) -> tuple[dict[str, int], int]:
    """Replace the rows of a suspended tenant by those of a backup, with their ids, in one transaction.

    Return the rows by table and the number of the tenant's files in the backup. The tenant's audit log goes on with an
    entry that opens the restored ledger: it names the backup, its age, the numbers of rows, and the sums of the ledger
    before and after; members, API keys and secrets stay as they are. Raise
    TenantNotRestorableError, ApprovalRequiredError, or the errors of a restore.
    """
    with all_tenants():
        found = require_restorable(slug)
        words = gettext("Restore the tenant %(slug)s from %(backup)s: %(reason)s")
        require_approval(
            "restore",
            {"tenant": slug, "backup": manifest.name},
            preview=words % {"slug": slug, "backup": manifest.name, "reason": reason},
            tenant_id=found.pk,
        )
    with scratch_database(target, manifest) as scratch, connect(reader_conninfo(scratch)) as source:
        with all_tenants(_TIMEOUTS):
            tenant = require_restorable(slug)
            _require_same_release(source, tenant)
            before = {"charged_us": _sum_charges(tenant.pk)}
            rows = _replace_rows(source, tenant.pk)
            after = {
                "backup": manifest.name,
                "taken_at": manifest.taken_at.isoformat(),
                "age_seconds": _read_age(manifest),
                "rows": sum(rows.values()),
                "charges": rows.get(Charge._meta.db_table, 0),
                "charged_us": _sum_charges(tenant.pk),
            }
            record_audit(action="tenant.restored", target=tenant, before=before, after=after, reason=reason)
            # A key that cannot be read leaves the tenant as it was.
            seal_keys = read_seal_keys([tenant.pk])
        files = _restore_files(target, manifest, source, tenant.pk, seal_keys)
    return rows, files


def _require_same_release(source: psycopg.Connection[dict[str, Any]], tenant: Tenant) -> None:
    found = [row["migration"] for row in source.execute(_SQL["read_migrations"])]
    with connection.cursor() as cursor:
        cursor.execute(_SQL["read_migrations"])
        if [migration for (migration,) in cursor.fetchall()] != found:
            raise TenantNotRestorableError(
                gettext_noop("The backup is of another release: restore it with “manage.py restore”, and migrate it.")
            )
    if not source.execute("SELECT FROM tenants_tenant WHERE id = %s", [tenant.pk]).rowcount:
        raise TenantNotRestorableError(gettext_noop("The backup lacks the tenant %(slug)s."), {"slug": tenant.slug})


def _replace_rows(source: psycopg.Connection[dict[str, Any]], tenant_id: UUID) -> dict[str, int]:
    """Delete the tenant's rows and insert those of the source; return their numbers by table."""
    tables = [table for table in tenant_tables() if table.name not in _KEPT]
    rows: dict[str, int] = {}
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        for table in tables:
            if table.name != _KEYS:
                cursor.execute(_compose("DELETE FROM {table} WHERE {column} = %s", table), [tenant_id])
        for table in reversed(tables):
            names = [row["name"] for row in source.execute(_SQL["read_columns"], {"table": table.name})]
            columns = [sql.Identifier(str(name)) for name in names]
            insert = _compose(
                "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {values}"
                " FROM (SELECT given::public.{table} AS r FROM unnest(%s::text[]) AS given) s {conflict}",
                table,
                columns=sql.SQL(", ").join(columns),
                conflict=sql.SQL("ON CONFLICT DO NOTHING" if table.name == _KEYS else ""),
                values=sql.SQL(", ").join(sql.SQL("(r).{}").format(column) for column in columns),
            )
            for batch in _read_batches(source, table, tenant_id):
                cursor.execute(insert, [batch])
                rows[table.name] = rows.get(table.name, 0) + cursor.rowcount
    return rows


def _read_batches(
    source: psycopg.Connection[dict[str, Any]], table: TenantTable, tenant_id: UUID
) -> Iterator[list[str]]:
    with source.cursor(name="rows") as cursor:
        cursor.execute(_compose("SELECT x::text AS row FROM public.{table} x WHERE {column} = %s", table), [tenant_id])
        while batch := cursor.fetchmany(_BATCH_ROWS):
            yield [str(row["row"]) for row in batch]


def _sum_charges(tenant_id: UUID) -> int:
    """Return the microseconds of slot time in the tenant's ledger."""
    return int(Charge.objects.filter(tenant_id=tenant_id).aggregate(total=Sum("microseconds", default=0))["total"])


def _compose(text: str, table: TenantTable, **parts: sql.Composable) -> str:
    names = {"table": sql.Identifier(table.name), "column": sql.Identifier(table.column)}
    return sql.SQL(text).format(**names, **parts).as_string(None)


def _read_age(manifest: Manifest) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_SQL["read_age"], {"taken_at": manifest.taken_at})
        return int(cursor.fetchone()[0])


def _restore_files(
    target: Target,
    manifest: Manifest,
    source: psycopg.Connection[dict[str, Any]],
    tenant_id: UUID,
    seal_keys: Mapping[UUID, DataKey],
) -> int:
    """Write the files that the tenant's rows name and the storage lacks."""
    part = next((part for part in manifest.parts if part.name == FILES_PART), None)
    if part is None:
        return 0
    stream = io.BufferedReader(StreamFile(read_part(target, manifest, part, manifest.secret())))
    return restore_files(stream, source, default_storage, seal_keys=seal_keys, only=str(tenant_id))
