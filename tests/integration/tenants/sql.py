"""Rows and facts for the isolation tests, read by SQL where the ORM would interfere."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from django.conf import settings
from django.db import connection

from scheduling.models import Batch, Job, Queue
from tenants.context import all_tenants, tenant_context
from tenants.database.conf import OWNER_ALIAS, app_role, auditor_role, platform_role
from tenants.database.ids import uuid7
from tenants.models import ApiKey, AuditLogEntry, Tenant

# The names of the roles, which a deployment may change.
APP, PLATFORM, AUDITOR = app_role(), platform_role(), auditor_role()
OWNER: str = settings.DATABASES.get(OWNER_ALIAS, {}).get("USER", "")


def transaction_settings() -> tuple[str, str]:
    """Return the role and the tenant that PostgreSQL applies at this moment; '' if no tenant is set."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, coalesce(current_setting('app.tenant_id', true), '')")
        role, tenant_id = cursor.fetchone()
    return role, tenant_id


def run_sql(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a statement; [] if it returns none."""
    with connection.cursor() as cursor:
        cursor.execute(statement, list(parameters))
        return cursor.fetchall() if cursor.description else []


def count_by_sql(statement: str, *parameters: Any) -> int:
    """Return how many rows a statement changed or found."""
    with connection.cursor() as cursor:
        cursor.execute(statement, list(parameters))
        return cursor.rowcount


def make_key(tenant: Tenant, name: str, *, enter: bool = False) -> ApiKey:
    """Create a key of `tenant`, in the present context or, with `enter`, in the tenant's own."""
    with tenant_context(tenant) if enter else nullcontext():
        return ApiKey.objects.create(tenant=tenant, name=name, prefix=uuid7().hex[-16:])


def make_batch(tenant: Tenant, label: str = "batch") -> Batch:
    """Create a batch of `tenant` in its context."""
    with tenant_context(tenant):
        return Batch.objects.create(tenant=tenant, label=label, kind="noop", total=1)


def make_job(tenant: Tenant, **values: Any) -> Job:
    """Create a bare job row of `tenant` in its context; nothing is scheduled."""
    with tenant_context(tenant):
        job = new_job(tenant, **values)
        job.save(force_insert=True)
    return job


def new_job(tenant: Tenant, **values: Any) -> Job:
    """Return the same row unsaved; needs a context."""
    from django.utils import timezone

    now = timezone.now()
    defaults = {
        "tenant": tenant,
        "kind": "noop",
        "queue": Queue.objects.first(),
        "state": "completed",
        "rank": 0,
        "payload_hash": b"",
        "run_at": now,
        "created_at": now,
    }
    return Job(**{**defaults, **values})


def entries(action: str) -> list[AuditLogEntry]:
    """Return the audit entries of an act, of all tenants, oldest first."""
    with all_tenants():
        return list(AuditLogEntry.objects.filter(action=action).order_by("id"))


def reloaded(row: Any) -> Any:
    """Return the row as the database has it."""
    with all_tenants():
        return type(row)._base_manager.get(pk=row.pk)
