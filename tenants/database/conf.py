"""Names of database roles and connections, read from the settings on each call."""

from __future__ import annotations

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from tenants.database.platform_settings import platform_settings

APP_ALIAS = DEFAULT_DB_ALIAS
OWNER_ALIAS = "owner"
AUDITOR_ALIAS = "auditor"
TENANT_SETTING = "app.tenant_id"


def platform_role() -> str:
    """Return the name of the cross-tenant role, which sees the rows of all tenants and cannot log in."""
    return str(platform_settings.DATABASE_PLATFORM_ROLE)


def auditor_role() -> str:
    """Return the name of the only role that may seal, sign and prune the audit log."""
    return str(platform_settings.DATABASE_AUDITOR_ROLE)


def app_role() -> str:
    """Return the name of the restricted role that the application logs in as."""
    return str(settings.DATABASES[APP_ALIAS]["USER"])


def default_max_concurrency() -> int:
    """Return the maximum of a tenant's concurrent jobs that a new plan gets by default."""
    return int(platform_settings.TENANT_ISOLATED_TASK_CONCURRENCY)
