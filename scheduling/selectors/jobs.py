"""Reads of jobs for the API, the console and the commands: one filter, one list, one detail.

Every list runs along the primary order of UUIDv7 ids, newest first, and nothing here counts
without a bound: a tenant may have a million jobs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from scheduling import filters
from scheduling.exceptions import JobNotFoundError
from scheduling.filters.rows import has_own_table, in_states, made_between
from scheduling.lifecycle import JobState
from scheduling.models import Job
from scheduling.models.jobs import MARK_FIELDS
from scheduling.querysets import JobQuerySet

COUNT_LIMIT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs are meant. Values inside one field are alternatives, fields narrow each other.

    ``tags`` must all be there. Times are aware: ``created_after`` inclusive, ``created_before``
    exclusive, so that neighbouring ranges tile. ``error`` is a fingerprint or a part of the
    error's type. ``newest_id`` freezes the set: jobs submitted later are not in it. ``query`` is
    what was written in the grammar of filters, and narrows the rest.
    """

    states: tuple[JobState, ...] = ()
    kinds: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    fair_key: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    error: str | None = None
    batch_id: UUID | None = None
    newest_id: UUID | None = None
    query: filters.JobFilter | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it narrows nothing: every job is meant."""
        return all(getattr(self, field.name) in ((), None, filters.JobFilter()) for field in fields(self))


@dataclass(frozen=True, slots=True)
class CappedCount:
    """A count that stops at a limit; ``is_capped`` says that there may be more."""

    value: int
    is_capped: bool

    def __str__(self) -> str:
        return f"{self.value:,}+" if self.is_capped else f"{self.value:,}"


def find_jobs(job_filter: JobFilter) -> JobQuerySet:
    """The jobs of the scope of the moment that match, newest first, with their queues."""
    jobs = (
        Job.objects.select_related("queue")
        .newest_first()
        .filter(made_between(job_filter.created_after, job_filter.created_before))
    )
    if job_filter.states:
        jobs = jobs.filter(in_states(job_filter.states))
    if job_filter.kinds:
        jobs = jobs.filter(kind__in=job_filter.kinds)
    if job_filter.queues:
        jobs = jobs.filter(queue__name__in=job_filter.queues)
    if job_filter.tags:
        jobs = jobs.filter(tags__contains=list(job_filter.tags))
    if job_filter.fair_key is not None:
        jobs = jobs.filter(fair_key=job_filter.fair_key)
    if job_filter.error:
        jobs = jobs.filter(Q(error_fingerprint=job_filter.error) | Q(error_type__icontains=job_filter.error))
    if job_filter.batch_id is not None:
        jobs = jobs.filter(batch_id=job_filter.batch_id)
    if job_filter.newest_id is not None:
        jobs = jobs.filter(id__lte=job_filter.newest_id)
    return jobs if job_filter.query is None else job_filter.query.apply(jobs, now=timezone.now())


def walked_jobs(job_filter: JobFilter) -> JobQuerySet | None:
    """All jobs among which a filter looks for its own one after another; None if an index finds them.

    Row security keeps what is not leakproof, such as ``@>`` and ``LIKE``, from every index.
    """
    query = job_filter.query
    bounds = None if query is None else query.bounds
    indexed = replace(job_filter, states=(), kinds=(), queues=(), tags=(), fair_key=None, error=None, query=bounds)
    by_state = (
        replace(indexed, states=job_filter.states)
        if job_filter.states and has_own_table(job_filter.states)
        else indexed
    )
    if job_filter.batch_id is not None or (query is not None and query.is_keyed):
        return None
    if job_filter in (indexed, by_state):
        return None
    return find_jobs(indexed).select_related(None)


def next_job_ids(job_filter: JobFilter, *, after: UUID | None, limit: int) -> list[UUID]:
    """The ids of the next ``limit`` matching jobs, oldest first: one chunk of a bulk act."""
    jobs = find_jobs(job_filter).select_related(None).order_by("id")
    if after is not None:
        jobs = jobs.filter(id__gt=after)
    return list(jobs.values_list("id", flat=True)[:limit])


def count_jobs(job_filter: JobFilter, *, limit: int = COUNT_LIMIT) -> CappedCount:
    """How many jobs match, looking at no more than ``limit`` + 1 of them."""
    bounded = find_jobs(job_filter).select_related(None).order_by().values("id")[: limit + 1]
    counted = bounded.count()
    return CappedCount(min(counted, limit), counted > limit)


def get_job(job_id: UUID) -> Job:
    """One job with its queue, tenant and plan; `JobNotFoundError` for another tenant's as for none."""
    try:
        return Job.objects.select_related("queue", "tenant__plan").get(id=job_id)
    except Job.DoesNotExist:
        raise JobNotFoundError from None


def read_mark(job_id: UUID) -> str:
    """What tells whether a job has changed, and nothing else of it: for whoever looks again and again."""
    job = Job.objects.filter(id=job_id).only(*MARK_FIELDS).first()
    if job is None:
        raise JobNotFoundError
    return job.mark
