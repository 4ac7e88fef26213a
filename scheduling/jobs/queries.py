"""Reads of jobs for the API, the console and the commands: one filter, one list, one detail.

Every list follows the primary order of UUIDv7 ids, newest first. Every count is bounded: a tenant may have a million
jobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone

from scheduling.exceptions import JobNotFoundError
from scheduling.jobs.filters import JobFilter
from scheduling.jobs.models import MARK_FIELDS
from scheduling.jobs.querysets import JobQuerySet
from scheduling.models import Job

COUNT_LIMIT = 10_000
EVERY_JOB = JobFilter()


@dataclass(frozen=True, slots=True)
class CappedCount:
    """A count that stops at a limit; ``is_capped``: there may be more."""

    value: int
    is_capped: bool

    def __str__(self) -> str:
        return f"{self.value:,}+" if self.is_capped else f"{self.value:,}"


def find_jobs(job_filter: JobFilter = EVERY_JOB) -> JobQuerySet:
    """Return the jobs of the current scope that match, newest first, with their queues."""
    return job_filter.apply(Job.objects.select_related("queue").newest_first(), now=timezone.now())


def scan_jobs(job_filter: JobFilter) -> JobQuerySet | None:
    """Return the jobs that a list scans for those of the filter; None if an index finds them."""
    return find_jobs(job_filter.bounds).select_related(None) if job_filter.needs_scan else None


def get_job(job_id: UUID) -> Job:
    """Return one job with its queue, tenant and plan; raise `JobNotFoundError`, also for another tenant's."""
    try:
        return Job.objects.select_related("queue", "tenant__plan").get(id=job_id)
    except Job.DoesNotExist:
        raise JobNotFoundError from None


def read_mark(job_id: UUID) -> str:
    """Return the job's mark, which differs if the job has changed, for polling. Raise JobNotFoundError."""
    job = Job.objects.filter(id=job_id).only(*MARK_FIELDS).first()
    if job is None:
        raise JobNotFoundError
    return job.mark
