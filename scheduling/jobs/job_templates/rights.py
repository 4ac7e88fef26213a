"""Who may run a job template."""

from __future__ import annotations

from scheduling.jobs.job_templates.exceptions import PermissionToRunDeniedError
from scheduling.jobs.job_templates.models import JobTemplate
from tenants.access.caller import Access
from tenants.access.permissions import Permission


def require_right_to_run(access: Access, template: JobTemplate) -> None:
    """Raise `PermissionToRunDeniedError` unless the caller may run templates, and this one.

    All who may submit jobs may, and so do the template's roles.
    """
    is_runner = access.api_key is None and access.platform_role is None and access.role in template.runners
    may_run = is_runner or access.may(Permission.JOBS_SUBMIT)
    if not (may_run and access.may(Permission.TEMPLATES_RUN)):
        raise PermissionToRunDeniedError
