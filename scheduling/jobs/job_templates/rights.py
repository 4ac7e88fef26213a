"""Who may run a job template, and who may change one whose schedules use secrets."""

from __future__ import annotations

from scheduling.jobs.job_templates.exceptions import PermissionToRunDeniedError
from scheduling.jobs.job_templates.models import JobTemplate
from tenants.access.caller import Access
from tenants.access.permissions import Permission
from tenants.secrets.references import has_references
from tenants.secrets.service import require_use_of_secrets


def require_right_to_run(access: Access, template: JobTemplate) -> None:
    """Raise `PermissionToRunDeniedError` unless the caller may run templates, and this one.

    All who may submit jobs may, and so do the template's roles.
    """
    is_runner = access.api_key is None and access.platform_role is None and access.role in template.runners
    may_run = is_runner or access.may(Permission.JOBS_SUBMIT)
    if not (may_run and access.may(Permission.TEMPLATES_RUN)):
        raise PermissionToRunDeniedError


def require_use_of_its_secrets(template: JobTemplate) -> None:
    """Raise `SecretUseDeniedError` unless the caller may use secrets, or no schedule gives one to the template.

    A new content could place the secret elsewhere.
    """
    if any(has_references(schedule.payload) for schedule in template.schedules.all()):
        require_use_of_secrets()
