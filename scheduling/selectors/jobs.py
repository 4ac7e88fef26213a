"""Reads of jobs for the API, the console and the commands: one filter, one list, one detail.

Every list runs along the primary order of UUIDv7 ids, newest first, and nothing here counts
without a bound: a tenant may have a million jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import Q

from scheduling.exceptions import JobNotFoundError
from scheduling.lifecycle import DEAD_STATES, IN_FLIGHT_STATES, JobState
from scheduling.models import DeadLetter, Job, JobDue, LiveExecution
from scheduling.models.jobs import MARK_FIELDS
from scheduling.querysets import JobQuerySet
from tenants.ids import uuid7_floor

# Ids are made by the clocks of the web servers, ``created_at`` by the database's: an id bound
# keeps to the index, and this much slack keeps the bound from hiding a row that belongs.
CLOCK_SLACK = timedelta(minutes=5)
COUNT_LIMIT = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DUE_STATES = frozenset({JobState.SCHEDULED, JobState.RETRYABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs are meant. Values inside one field are alternatives, fields narrow each other.

    ``tags`` must all be there. Times are aware: ``created_after`` inclusive, ``created_before``
    exclusive, so that neighbouring ranges tile. ``error`` is a fingerprint or a part of the
    error's type. ``newest_id`` freezes the set: jobs submitted later are not in it.
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

    @property
    def is_empty(self) -> bool:
        """Whether it narrows nothing: every job is meant."""
        return all(getattr(self, field.name) in ((), None) for field in fields(self))


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
        jobs = jobs.filter(_states(job_filter.states))
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
    return jobs


def walked_jobs(job_filter: JobFilter) -> JobQuerySet | None:
    """All jobs among which a filter looks for its own one after another; None if an index finds them.

    Row security keeps what is not leakproof, such as ``@>`` and ``LIKE``, from every index.
    """
    indexed = replace(job_filter, states=(), kinds=(), queues=(), tags=(), fair_key=None, error=None)
    by_state = replace(indexed, states=job_filter.states) if has_own_table(job_filter.states) else indexed
    if job_filter.batch_id is not None or job_filter in (indexed, by_state):
        return None
    return find_jobs(indexed).select_related(None)


def has_own_table(states: Sequence[JobState]) -> bool:
    """Whether jobs in these states are found through a small table that knows them."""
    wanted = frozenset(states)
    return bool(wanted) and any(wanted <= known for known in (IN_FLIGHT_STATES, DEAD_STATES, _DUE_STATES))


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


def _states(states: Sequence[JobState]) -> Q:
    """The states, and for rare ones the small table that knows their jobs.

    No index on Job names its state, so that updates stay on their page; without the small
    table a handful of dead jobs would be looked for among a million completed ones.
    """
    wanted = frozenset(states)
    match = Q(state__in=sorted(wanted))
    if wanted <= IN_FLIGHT_STATES:
        return match & Q(id__in=LiveExecution.objects.values("job_id"))
    if wanted <= DEAD_STATES:
        return match & Q(id__in=DeadLetter.objects.values("job_id"))
    if wanted <= _DUE_STATES:
        return match & Q(id__in=JobDue.objects.values("job_id"))
    return match


def made_between(after: datetime | None, before: datetime | None) -> Q:
    """Rows made in a span of time, the end exclusive, found along their ids."""
    match = Q()
    if after is not None:
        match &= Q(created_at__gte=after)
        if after > _EPOCH + CLOCK_SLACK:
            match &= Q(id__gte=uuid7_floor(after - CLOCK_SLACK))
    if before is not None:
        match &= Q(created_at__lt=before)
        if _EPOCH < before < datetime(9999, 1, 1, tzinfo=UTC):
            match &= Q(id__lt=uuid7_floor(before + CLOCK_SLACK))
    return match
