"""Rows of a tenant in every table, and the search for them."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import redis
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.utils import timezone

from tenants.access.memberships import add_member
from tenants.context import all_tenants, tenant_context
from tenants.database.platform_settings import platform_settings
from tenants.erasure.catalog import count_rows, tenant_tables
from tenants.erasure.erasers import count_outside
from tenants.holds.service import place_hold, release_hold
from tenants.models import Role, Tenant
from tests.auditing import seal_entries, sign_heads
from tests.integration.console.conftest import make_work
from tests.integration.workloads.workflow_records.conftest import new_node, new_run
from tests.keys import issue_api_key
from workloads.documents.indexing.uploads import upload_documents
from workloads.documents.service import create_dataset
from workloads.pipelines.node_types import chain
from workloads.pipelines.runs import start_run
from workloads.pipelines.service import create_pipeline
from workloads.workflows.records.repository import save_records

_MISSING_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), t.typname, f.confrelid::regclass::text,
    (SELECT attname FROM pg_attribute WHERE attrelid = f.confrelid AND attnum = f.confkey[array_length(f.confkey, 1)])
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN LATERAL (
    SELECT * FROM pg_constraint WHERE contype = 'f' AND conrelid = a.attrelid
      AND conkey[array_length(conkey, 1)] = a.attnum LIMIT 1
) f ON true
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = '' AND NOT a.atthasdef
  AND a.attnotnull
"""
PLAIN: dict[str, Any] = {
    "bool": False,
    "date": "2026-01-01",
    "jsonb": "{}",
    "timestamptz": "2026-01-01T00:00:00Z",
    "bytea": b"x",
    "interval": "1 s",
}
SEALED_BY_AUDITOR = {"tenants_auditpending", "tenants_auditseal", "tenants_audithead"}
# Columns whose values a constraint limits.
SPECIAL: dict[tuple[str, str], Any] = {
    ("workflow_execution_approval", "state"): "pending",
    ("tenants_access_review", "closed_by"): "",
    ("tenants_access_review", "sha256"): "",
    ("tenants_access_review_line", "decision"): "open",
    ("tenants_access_review_line", "decided_by"): "",
    ("tenants_approval_request", "status"): "pending",
    ("tenants_approval_request", "decider"): "",
    ("scheduling_event_trigger", "template"): "",
    ("document_sources_contentsource", "gone_items"): "delete",
    ("document_sources_sourceitem", "state"): "listed",
    ("tenants_invitation", "role"): "viewer",
    ("scheduling_measure_minute", "object_key"): lambda tenant_id: f"tenant:{tenant_id}",
    ("scheduling_alert_silence", "ends_at"): timezone.now() + timedelta(hours=1),
    # Unique over all tenants.
    ("tenants_invitation", "token_hash"): lambda tenant_id: tenant_id.hex,
}


def fill(tenant: Tenant) -> None:
    """Create jobs, files and members by the services, then a row for each table still without one."""
    make_work(tenant)
    dataset = create_dataset(tenant=tenant, name="handbook")
    upload_documents(tenant=tenant, dataset=dataset, files=[SimpleUploadedFile("a.txt", tenant.slug.encode())])
    source = {"type": "text", "name": "b.txt", "text": tenant.slug}
    definition = chain(datasource={"sources": [source]}, load={"dataset": "handbook"})
    start_run(tenant=tenant, pipeline_id=create_pipeline(tenant=tenant, name="pages", definition=definition).pk)
    add_member(tenant=tenant, user=User.objects.create_user(f"member-of-{tenant.slug}"), role=Role.OWNER)
    issue_api_key(tenant=tenant, name="spare")
    # One in force would refuse the erasure.
    release_hold(hold_id=place_hold(tenant=tenant, reason="case 7").pk, reason="settled")
    run = new_run(tenant)
    with tenant_context(tenant):
        save_records(run, [new_node(run)])
    seal_entries()
    sign_heads()
    for _ in range(3):  # a row may refer to one of the first round
        fill_the_rest(tenant)
    redis.Redis.from_url(platform_settings.REDIS_URL).set(f"jobsplatform:bucket:{tenant.pk}:submit", "1", ex=600)


def fill_the_rest(tenant: Tenant) -> None:
    """Insert a row for each empty table by its columns, including those that sealing and folding empty."""
    with all_tenants():
        counts = count_rows(tenant.pk)
        for table in reversed(tenant_tables()):
            # The application may not write the proofs of the audit log.
            if not counts[table.name] and table.name not in SEALED_BY_AUDITOR:
                insert_row(table.name, table.column, tenant.pk)


def insert_row(table: str, column: str, tenant_id: uuid.UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_MISSING_COLUMNS, [f"public.{table}"])
        columns = cursor.fetchall()
        # The tenant is optional here, and such a row belongs to none.
        values: dict[str, Any] = {column: tenant_id}
        for name, kind, base, target, target_column in columns:
            if name == column:
                continue
            if (table, name) in SPECIAL:
                special = SPECIAL[table, name]
                values[name] = special(tenant_id) if callable(special) else special
            elif target is not None:
                values[name] = reference(target, target_column, tenant_id)
            else:
                values[name] = plain(kind, base)
        names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
        cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(values.values()))


def reference(table: str, column: str, tenant_id: uuid.UUID) -> Any:
    own = {known.name: known.column for known in tenant_tables()}
    where = f"WHERE {own[table]} = %s" if table in own else "WHERE %s::uuid IS NOT NULL"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table} {where} LIMIT 1", [tenant_id])
        row = cursor.fetchone()
    assert row is not None, f"{table} has no row to refer to"
    return row[0]


def plain(kind: str, base: str) -> Any:
    if base == "uuid":
        return uuid.uuid4()
    if base in ("varchar", "text", "bpchar"):
        return "x"
    if base in ("int2", "int4", "int8", "numeric", "float8"):
        return 1
    if base == "vector":
        return "[0]"
    if base == "tsvector":
        return ""
    if base.startswith("_"):
        return []
    return PLAIN[base]


def mentions(tenant_id: uuid.UUID) -> list[str]:
    """Return the columns of type uuid, in any table, that still contain the id, apart from the erasure's own check."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN information_schema.tables t"
            " USING (table_schema, table_name) WHERE c.table_schema = 'public' AND c.data_type = 'uuid'"
            " AND t.table_type = 'BASE TABLE' AND c.table_name NOT IN"
            " (SELECT relname FROM pg_class WHERE relispartition)"
        )
        for table, column in cursor.fetchall():
            cursor.execute(f"SELECT EXISTS (SELECT FROM {table} WHERE {column} = %s)", [tenant_id])
            # The records of erasures keep the id.
            if cursor.fetchone()[0] and table not in ("tenants_tenanterasure", "tenants_auditcounter"):
                found.append(f"{table}.{column}")
    return found


def checksums(tenant: Tenant) -> dict[str, str]:
    sums = {}
    with all_tenants(), connection.cursor() as cursor:
        for table in tenant_tables():
            cursor.execute(
                f"SELECT count(*) || ':' || coalesce(md5(string_agg(x::text, '' ORDER BY x::text)), '')"
                f" FROM {table.name} x WHERE {table.column} = %s",
                [tenant.pk],
            )
            sums[table.name] = cursor.fetchone()[0]
        sums |= {name: str(number) for name, number in count_outside(tenant.pk).items()}
    return sums
