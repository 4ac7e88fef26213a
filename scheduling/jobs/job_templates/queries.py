"""Queries of the job templates that the current scope can see."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from scheduling.jobs.job_templates.exceptions import JobTemplateNotFoundError
from scheduling.jobs.job_templates.models import JobTemplate
from tenants.access.caller import Access
from tenants.access.permissions import Permission
from tenants.database.reads import first_or_raise


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
