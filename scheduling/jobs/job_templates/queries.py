"""Queries of the job templates that the current scope can see."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from psycopg.rows import dict_row

from scheduling.jobs.job_templates.exceptions import JobTemplateNotFoundError
from scheduling.jobs.job_templates.models import JobTemplate
from tenants.access.caller import Access
from tenants.access.permissions import Permission
from tenants.database.prepared import fetch_all
from tenants.database.reads import first_or_raise
from tenants.database.sql import load_sql

# Batches are found by the newest jobs of the newest versions.
SHOWN_SCHEDULES, SHOWN_BATCHES, SEARCHED_VERSIONS, SEARCHED_JOBS = 100, 20, 10, 100
_FIND_BATCHES = load_sql(__file__)["find_batches"]


def find_templates() -> QuerySet[JobTemplate]:
    """Return a queryset of the templates with their tenants, by name."""
    return JobTemplate.objects.select_related("tenant__plan").order_by("name")


def get_template(template_id: UUID) -> JobTemplate:
    """Return one template; raise `JobTemplateNotFoundError` if there is none."""
    return first_or_raise(find_templates().filter(pk=template_id), JobTemplateNotFoundError)


def get_template_by_name(name: str) -> JobTemplate:
    """Return the template with that name in the current tenant; raise `JobTemplateNotFoundError` if there is none."""
    return first_or_raise(find_templates().filter(name=name), JobTemplateNotFoundError)


def may_see_content(access: Access) -> bool:
    """Return whether contents are shown: only to the tenant's own users and keys, and only with `templates.manage`."""
    return access.platform_role is None and access.may(Permission.TEMPLATES_MANAGE)


def find_uses(template: JobTemplate, *, has_schedules: bool) -> dict[str, Any]:
    """Return the id and name of the first schedules that run a template, and the newest batches with jobs of its name.

    The schedules are None if the caller may not see them.
    """
    versions = range(template.version, max(template.version - SEARCHED_VERSIONS, 0), -1)
    parameters = {
        "labels": [f"{template.name}@{number}" for number in versions],
        "tenant_id": template.tenant_id,
        "jobs": SEARCHED_JOBS,
        "limit": SHOWN_BATCHES,
    }
    schedules = template.schedules.order_by("name").values("id", "name")[:SHOWN_SCHEDULES]
    return {
        "schedules": list(schedules) if has_schedules else None,
        "batches": fetch_all(_FIND_BATCHES, parameters, dict_row),
    }
