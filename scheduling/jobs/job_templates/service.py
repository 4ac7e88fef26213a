"""Service of job templates: they are created, changed, deleted and run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.db import IntegrityError, transaction

from scheduling.jobs.job_templates.exceptions import (
    JobTemplateChangedError,
    JobTemplateInUseError,
    JobTemplateInvalidError,
    JobTemplateNameTakenError,
    JobTemplateNotFoundError,
)
from scheduling.jobs.job_templates.models import JobTemplate, JobTemplateVersion
from scheduling.jobs.job_templates.parameters import check_parameters, fill_in, is_complete
from scheduling.jobs.job_templates.rights import require_use_of_its_secrets
from scheduling.jobs.queries import get_job
from scheduling.jobs.requests import JobRequest, check_depth, check_request
from scheduling.jobs.submission import Submission, submit_job
from scheduling.kit import registry
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import tenant_context
from tenants.database.clock import read_clock
from tenants.database.reads import first_or_raise
from tenants.exceptions import DomainError
from tenants.models import Role, Tenant
from tenants.secrets.references import has_references
from tenants.secrets.service import require_use_of_secrets
from tenants.tenancy.bases import clean_slug
from tenants.tenancy.changes import Difference
from tenants.tenancy.pausing import require_reason
from tenants.versions.hooks import Content
from tenants.versions.service import Versioned

MAX_NAMES = 20  # of the schedules that keep a template


@dataclass(frozen=True, slots=True)
class TemplateContent:
    """What a version of a template holds: the parts of a job request, and the JSON Schema of the parameters."""

    kind: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    queue: str = ""
    priority: int | None = None
    tags: Sequence[str] = ()
    fair_key: str = ""
    max_retries: int | None = None

    def describe(self) -> Content:
        """Return the content as JSON data, complete."""
        return {item.name: getattr(self, item.name) for item in fields(self)} | {"tags": list(self.tags)}

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> TemplateContent:
        """Return stored or submitted JSON data as content; raise `JobTemplateInvalidError` for unknown members."""
        known = {item.name for item in fields(cls)}
        if strays := sorted(set(content) - known):
            raise JobTemplateInvalidError("There is no field %(names)s.", {"names": ", ".join(strays)})
        if "kind" not in content:
            raise JobTemplateInvalidError("A template needs a kind.")
        return cls(**content)

    def request(self, values: Mapping[str, Any], **options: Any) -> JobRequest:
        """Return the job request with these parameters; ``options`` take the place of the content's own."""
        own = {
            "queue": self.queue or None,
            "priority": self.priority,
            "tags": tuple(self.tags),
            "fair_key": self.fair_key,
            "max_retries": self.max_retries,
        }
        payload = fill_in(self.parameters, values, self.payload)
        return JobRequest(kind=self.kind, payload=payload, **{**own, **options})


def create_template(
    *,
    tenant: Tenant,
    name: str,
    content: TemplateContent,
    description: str = "",
    runners: Sequence[str] = (),
    reason: str = "",
) -> JobTemplate:
    """Create a template with its first version. Raise `JobTemplateNameTakenError` if the name is taken."""
    with tenant_context(tenant):
        template = JobTemplate(
            tenant=tenant, name=clean_slug(name, field="name"), description=description, runners=_roles(runners)
        )
        TEMPLATES.check(template, content.describe())
        TEMPLATES.authorise(content.describe())
        _save(template)
        TEMPLATES.begin(template, content=content.describe(), reason=reason)
        record_audit(action="job_template.created", target=template, after=_facts(template), reason=reason)
    return template


def update_template(*, template: JobTemplate, **changes: Any) -> JobTemplate:
    """Change the name or the description of a template, or its `runners`. The content is changed by `add_version`.

    Jobs keep the name under which they were submitted.
    """
    if unknown := changes.keys() - {"name", "description", "runners"}:
        raise TypeError(f"A template has no {', '.join(sorted(unknown))}.")
    with tenant_context(template.tenant_id):
        locked = TEMPLATES.lock(template)
        before = _facts(locked)
        locked.name = clean_slug(changes.get("name", locked.name), field="name")
        locked.description = changes.get("description", locked.description)
        locked.runners = _roles(changes.get("runners", locked.runners))
        _save(locked)
        record_audit(action="job_template.updated", target=locked, before=before, after=_facts(locked))
    return locked


def save_as_template(*, job_id: UUID, reason: str) -> JobTemplate:
    """Create a template with the kind, payload and options of a job, named after its kind and id.

    The entry of the audit log names the job. Raise `ReasonRequiredError` without a reason.
    """
    kept, job = require_reason(reason), get_job(job_id)
    content = TemplateContent(
        kind=job.kind, payload=job.payload, priority=job.priority, tags=list(job.tags), fair_key=job.fair_key
    )
    name = f"{job.kind.replace('_', '-').lower()[:36]}-{str(job.pk)[-12:]}"
    with tenant_context(job.tenant):
        with suppress_nested_entries():
            template = create_template(tenant=job.tenant, name=name, content=content, reason=kept)
        facts = {**_facts(template), "job": str(job.pk)}
        record_audit(action="job_template.created", target=template, after=facts, reason=kept)
    return template


def add_version(
    *,
    template: JobTemplate,
    content: TemplateContent,
    reason: str = "",
    expected_version: int | None = None,
    effective_from: datetime | None = None,
) -> JobTemplateVersion | None:
    """Store a content as the next version, now or at a later time; return None if nothing changes."""
    version = TEMPLATES.edit(
        template,
        lambda stored: content.describe(),
        reason=reason,
        expected_version=expected_version,
        effective_from=effective_from,
    )
    return cast("JobTemplateVersion | None", version)


def delete_template(*, template: JobTemplate, reason: str = "") -> None:
    """Delete a template with its versions. Its jobs keep the name and the number of the version that they ran.

    Raise `JobTemplateInUseError` if schedules run it.
    """
    with tenant_context(template.tenant_id):
        locked = TEMPLATES.lock(template)
        record_audit(action="job_template.deleted", target=locked, before=_facts(locked), reason=reason)
        try:
            # The database deletes the versions, and refuses if a schedule refers to the template.
            with transaction.atomic():
                JobTemplate.objects.filter(pk=locked.pk).delete()
        except IntegrityError as error:
            names = ", ".join(locked.schedules.order_by("name").values_list("name", flat=True)[:MAX_NAMES])
            raise JobTemplateInUseError(
                "Schedules run it: %(names)s. Delete them or give them another template first.", {"names": names}
            ) from error


def run_template(
    *,
    template: JobTemplate,
    values: Mapping[str, Any] | None = None,
    version: int | None = None,
    is_rate_limited: bool = False,
    **options: Any,
) -> Submission:
    """Submit a job by a template's version in effect, or by ``version``. ``options`` are those of any job.

    Raise `ParametersInvalidError`, or the errors of `submit_job` if the job is refused.
    """
    with tenant_context(template.tenant_id):
        request = request_by(template, values or {}, version, **options)
        return submit_job(tenant=template.tenant, request=request, is_rate_limited=is_rate_limited)


def request_by(
    template: JobTemplate, values: Mapping[str, Any], version: int | None = None, **options: Any
) -> JobRequest:
    """Return the job request of a template's version in effect, or of ``version``; its meta names both.

    Raise `ParametersInvalidError` if the values do not fit the parameters.
    """
    found = read_version(template, template.version if version is None else version)
    meta = {**options.pop("meta", {}), "template": f"{template.name}@{found.number}"}
    return TemplateContent.read(found.content).request(values, meta=meta, **options)


def read_version(template: JobTemplate, number: int) -> JobTemplateVersion:
    """Return a version that was ever in effect; raise `JobTemplateNotFoundError` if there is none."""
    versions = JobTemplateVersion.objects.filter(
        template=template, number=number, outcome=JobTemplateVersion.Outcome.APPLIED
    )
    return first_or_raise(versions, JobTemplateNotFoundError)


class _Templates(Versioned[JobTemplate]):
    """Versioned contents of job templates."""

    noun = "job_template"
    owner = "template"
    changed_action = "job_template.changed"
    versions = JobTemplateVersion
    is_tenants = True

    def find(self, name: str) -> JobTemplate:
        return first_or_raise(JobTemplate.objects.filter(name=name), JobTemplateNotFoundError)

    def scope(self, row: JobTemplate) -> AbstractContextManager[None]:
        return tenant_context(row.tenant_id)

    def lock(self, row: JobTemplate) -> JobTemplate:
        locked = JobTemplate.objects.select_for_update(no_key=True).filter(pk=row.pk)
        return first_or_raise(locked, JobTemplateNotFoundError)

    def describe(self, row: JobTemplate) -> Content:
        return cast("Content", self.versions.objects.get(template=row, number=row.version).content)

    def check(self, row: JobTemplate, content: Mapping[str, Any]) -> None:
        wanted = TemplateContent.read(content)
        require_use_of_its_secrets(row)
        check_depth(wanted.payload)
        check_parameters(wanted.parameters, wanted.payload)
        if is_complete(wanted.parameters):
            check_request(wanted.request({}), now=read_clock(), plan=row.tenant.plan)
        else:
            registry.get(wanted.kind)

    def authorise(self, content: Mapping[str, Any]) -> None:
        if has_references([content["payload"], content["parameters"]]):
            require_use_of_secrets()

    def put(self, row: JobTemplate, content: Mapping[str, Any]) -> None:
        row.save(update_fields=["version"])
        row.schedules.exclude(kind=content["kind"]).update(kind=content["kind"])

    def flatten(self, content: Mapping[str, Any]) -> dict[str, Any]:
        payload = {f"payload.{name}": value for name, value in content["payload"].items()}
        return {name: value for name, value in content.items() if name != "payload"} | payload

    def audited(self, difference: Difference) -> Difference:
        # The audit log names the changed parts of a payload without their values.
        def masked(values: Mapping[str, Any]) -> dict[str, Any]:
            return {name: "…" if name.startswith("payload.") else value for name, value in values.items()}

        return Difference(masked(difference.before), masked(difference.after))

    def overtaken(self, row: JobTemplate, expected: int) -> DomainError:
        return JobTemplateChangedError(
            "It is at version %(current)s, not %(expected)s.", {"current": row.version, "expected": expected}
        )


TEMPLATES = _Templates()


def _save(template: JobTemplate) -> None:
    try:
        with transaction.atomic():
            template.save()
    except IntegrityError as error:
        if "job_template_name_unique" not in str(error):
            raise
        raise JobTemplateNameTakenError("There is a template %(name)s already.", {"name": template.name}) from error


def _roles(runners: Sequence[str]) -> list[str]:
    if strays := sorted(set(runners) - set(Role.values)):
        raise JobTemplateInvalidError("There is no role %(names)s.", {"names": ", ".join(strays)})
    return sorted(set(runners))


def _facts(template: JobTemplate) -> dict[str, Any]:
    return {
        "name": template.name,
        "description": template.description,
        "runners": list(template.runners),
        "version": template.version,
    }
