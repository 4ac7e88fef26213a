"""Jobs that controls hold: their check at submission and at each start, and the rows and audit entries of failures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from scheduling.controls.models import ControlHold
from scheduling.controls.queries import Controls
from scheduling.controls.rules import Checkpoint, Facts, Terms
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.models import Job
from tenants.audit.service import AuditTarget, record_audits


class Failure(NamedTuple):
    """A job and the controls that it fails."""

    job_id: UUID
    tenant_id: UUID
    controls: Sequence[Terms]

    @property
    def described(self) -> list[dict[str, str]]:
        """Return the controls without what they found."""
        return [
            {"id": one.id, "name": one.name, "rule": one.rule, "checkpoint": one.checkpoint} for one in self.controls
        ]


def facts_of(job: Job, region: str) -> Facts:
    """Return what the controls of a submission read of a job, at the time of its submission."""
    return Facts(job.kind, job.tenant_id, job.created_at, region, job.tags, job.meta, job.payload)


def suspend_failing(jobs: Iterable[Job], controls: Controls) -> list[Failure]:
    """Set new jobs that fail a control of the submission to suspended, before their insert; return their failures."""
    failures = [found for job in jobs if (found := _failure_of(job, controls)).controls]
    failing = {failure.job_id for failure in failures}
    for job in jobs:
        if job.pk in failing:
            job.state = JobState.SUSPENDED
    return failures


def record_holds(failures: Sequence[Failure]) -> None:
    """Store which controls hold suspended jobs, with their audit entries, in the caller's transaction."""
    rows = [ControlHold(job_id=one.job_id, tenant_id=one.tenant_id, failures=one.described) for one in failures]
    ControlHold.objects.bulk_create(rows, update_conflicts=True, unique_fields=["job_id"], update_fields=["failures"])
    record_failures(failures)


def record_failures(failures: Iterable[Failure], **more: Any) -> None:
    """Write an audit entry for each job that fails controls, in the caller's transaction."""
    label = Job._meta.label_lower
    facts = [
        (AuditTarget(label, str(one.job_id), one.tenant_id), {"controls": one.described, **more}) for one in failures
    ]
    record_audits(action="control.failed", facts=facts)


def held_by(job_id: UUID) -> list[Mapping[str, str]]:
    """Return the controls that hold a suspended job: id, name, rule and checkpoint of each."""
    row = ControlHold.objects.filter(job_id=job_id).only("failures").first()
    return [] if row is None else list(row.failures)


def _failure_of(job: Job, controls: Controls) -> Failure:
    covering = controls.covering(Checkpoint.SUBMISSION, job.kind, job.tenant_id)
    facts = facts_of(job, controls.regions.get(job.queue_id, ""))
    return Failure(job.pk, job.tenant_id, [terms for terms in covering if terms.fails(facts)])
