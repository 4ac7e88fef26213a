"""Reads of jobs for the API, the console and the commands: the filtered list, and one job.

Every list is ordered by UUIDv7 ids, newest first. Every count is bounded: a tenant may have a million jobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone

from scheduling.archive.exceptions import JobArchivedError
from scheduling.exceptions import JobNotFoundError
from scheduling.jobs.filters import JobFilter
from scheduling.jobs.models import MARK_FIELDS
from scheduling.jobs.querysets import JobQuerySet
from scheduling.models import ArchiveObject, Job
from tenants.database.reads import first_or_raise

COUNT_LIMIT = 10_000
EVERY_JOB = JobFilter()


@dataclass(frozen=True, slots=True)
class CappedCount:
    """A count that stops at a limit; ``is_capped``: the true number may be larger."""

    value: int
    is_capped: bool

    def __str__(self) -> str:
        return f"{self.value:,}+" if self.is_capped else f"{self.value:,}"


def find_jobs(job_filter: JobFilter = EVERY_JOB) -> JobQuerySet:
    """Return a queryset of the matching jobs in the current tenant context, newest first, with their queues."""
    return job_filter.apply(Job.objects.select_related("queue").newest_first(), now=timezone.now())


def scan_jobs(job_filter: JobFilter) -> JobQuerySet | None:
    """Return the queryset whose rows a list checks one by one for the filter; None if an index finds the matches."""
    return find_jobs(job_filter.bounds).select_related(None) if job_filter.needs_scan else None


def get_job(job_id: UUID) -> Job:
    """Return one job with its queue, tenant and plan; raise `JobNotFoundError`, also for another tenant's.

    For a job that is only in the archive, raise `JobArchivedError`.
    """
    try:
        return Job.objects.select_related("queue", "tenant__plan").get(id=job_id)
    except Job.DoesNotExist:
        objects = ArchiveObject.objects.filter(first_id__lte=job_id, last_id__gte=job_id)
        is_archived = objects.filter(job_ids__contains=[job_id]).exists()
        raise (JobArchivedError if is_archived else JobNotFoundError) from None


def read_mark(job_id: UUID) -> str:
    """Return `Job.mark`, which changes whenever the job does; for polling. Raise JobNotFoundError."""
    job = first_or_raise(Job.objects.filter(id=job_id).only(*MARK_FIELDS), JobNotFoundError)
    return job.mark
