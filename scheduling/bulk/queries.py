"""Queries of bulk operations: the matching jobs chunk by chunk, the preview and the progress."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Case, Count, IntegerField, Q, QuerySet, Value, When

from scheduling.exceptions import BulkOperationNotFoundError
from scheduling.jobs.filters import JobFilter
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.queries import COUNT_LIMIT, CappedCount
from scheduling.jobs.querysets import JobQuerySet
from scheduling.models import BulkOperation, Job

CHUNK_ROWS = 1_000
# Jobs read in one turn if no index serves the filter, which bounds the turn's duration.
WINDOW_ROWS = 20_000
SAMPLE_ROWS = 5
# Fields that lead to few rows through an index; without one the jobs are read window by window.
_NARROW_FIELDS = frozenset({"state", "id", "batch", "parent", "key", "dead_letter", "died", "fingerprint", "requeued"})
UNCHANGED = "unchanged"
# Open operations shown on the first page.
LISTED_OPERATIONS = 20


@dataclass(frozen=True, slots=True)
class FrozenJobs:
    """Set of jobs in the current tenant context that match a filter and existed at the moment ``frozen_at``."""

    job_filter: JobFilter
    frozen_at: datetime
    newest_id: UUID | None

    def rows(self) -> JobQuerySet:
        """Return a queryset of all these jobs; their states are the present ones."""
        jobs: JobQuerySet = Job.objects.all()
        if self.newest_id is None:
            return jobs.none()
        bounded = jobs.filter(id__lte=self.newest_id, created_at__lte=self.frozen_at)
        return self.job_filter.apply(bounded, now=self.frozen_at)

    def next_chunk(self, states: Collection[JobState], *, after: UUID | None, limit: int) -> JobChunk:
        """Return the ids of the next jobs in ``states``, oldest first; jobs in other states are only counted."""
        end = self._window_end(after)
        found = self._between(after, end).filter(state__in=sorted(states)).order_by("id")
        job_ids = list(found.values_list("id", flat=True)[:limit])
        if len(job_ids) == limit:
            end = job_ids[-1]
        return JobChunk(job_ids, self.count_passed(states, after=after, end=end), end)

    def count_passed(
        self, states: Collection[JobState], *, after: UUID | None, end: UUID | None, but: Sequence[UUID] = ()
    ) -> Counter[str]:
        """Count by state the jobs after ``after`` up to ``end`` that are not in ``states``, without the ids in ``but``.

        ``but`` are the jobs that were acted on: their states have changed since.
        """
        if self.job_filter.states <= frozenset(states):
            return Counter()  # the filter finds no others; without this each turn would scan all its matches
        rows = self._between(after, end).exclude(state__in=sorted(states))
        if but:
            rows = rows.exclude(id__in=but)
        return Counter(dict(rows.order_by().values_list("state").annotate(n=Count("id"))))

    def _between(self, after: UUID | None, end: UUID | None) -> JobQuerySet:
        rows = self.rows() if after is None else self.rows().filter(id__gt=after)
        return rows if end is None else rows.filter(id__lte=end)

    def _window_end(self, after: UUID | None) -> UUID | None:
        """Return the id at which the next search must stop, or None if it may search to the end."""
        if self.newest_id is None or self._is_narrow():
            return None
        ids = Job.objects.filter(id__lte=self.newest_id).order_by("id").values_list("id", flat=True)
        if after is not None:
            ids = ids.filter(id__gt=after)
        return next(iter(ids[WINDOW_ROWS - 1 : WINDOW_ROWS]), None)

    def _is_narrow(self) -> bool:
        terms = self.job_filter.terms
        leads = any(term.field in _NARROW_FIELDS and not term.is_negated for term in terms)
        return leads and not self.job_filter.needs_scan


@dataclass(frozen=True, slots=True)
class JobChunk:
    """Ids of the jobs of one turn, and counts by state of the jobs that were passed over.

    ``end`` is the last id that was searched, or None if there are no further jobs.
    """

    job_ids: Sequence[UUID]
    passed: Counter[str]
    end: UUID | None


@dataclass(frozen=True, slots=True)
class MatchingGroup:
    """Number of matching jobs that have the same state, tenant, queue and kind.

    ``is_same`` means that they already have the value that the action would set.
    """

    state: JobState
    tenant_id: UUID
    queue_id: int
    queue: str
    kind: str
    is_same: bool
    count: int


@dataclass(frozen=True, slots=True)
class BulkPreview:
    """Preview of a bulk operation. All numbers are counted among at most `COUNT_LIMIT` matching jobs."""

    words: str
    count: CappedCount
    eligible: int
    tenants: int
    by_state: Mapping[str, int]
    by_queue: Mapping[str, int]
    ineligible: Mapping[str, int]
    sample: Sequence[Job]
    groups: Sequence[MatchingGroup]


def preview_jobs(jobs: FrozenJobs, states: Collection[JobState], unchanged: Q | None) -> BulkPreview:
    """Count the matching jobs by state and queue; ``unchanged`` is a Q for jobs that have the wanted value already."""
    matching = jobs.rows()
    same = Case(When(unchanged, then=Value(1)), default=Value(0), output_field=IntegerField()) if unchanged else None
    rows = (
        Job.objects.filter(id__in=matching.order_by().values("id")[: COUNT_LIMIT + 1])
        .order_by()
        .annotate(same=same if same is not None else Value(0, IntegerField()))
        .values_list("state", "tenant_id", "queue_id", "queue__name", "kind", "same")
        .annotate(n=Count("id"))
    )
    groups = [
        MatchingGroup(JobState(state), tenant_id, queue_id, queue, kind, bool(is_same), n)
        for state, tenant_id, queue_id, queue, kind, is_same, n in rows
    ]
    by_state, by_queue, ineligible = Counter[str](), Counter[str](), Counter[str]()
    for group in groups:
        by_state[group.state.value] += group.count
        by_queue[group.queue] += group.count
        if group.state not in states:
            ineligible[group.state.value] += group.count
        elif group.is_same:
            ineligible[UNCHANGED] += group.count
    total = by_state.total()
    return BulkPreview(
        words=jobs.job_filter.in_words(),
        count=CappedCount(min(total, COUNT_LIMIT), total > COUNT_LIMIT),
        eligible=total - ineligible.total(),
        tenants=len({group.tenant_id for group in groups}),
        by_state=dict(by_state.most_common()),
        by_queue=dict(by_queue.most_common()),
        ineligible=dict(ineligible.most_common()),
        sample=list(matching.select_related("queue", "tenant__plan").order_by("id")[:SAMPLE_ROWS]),
        groups=groups,
    )


def find_operations() -> QuerySet[BulkOperation]:
    """Return a queryset of the bulk operations in the current tenant context with their tenants, newest first."""
    return BulkOperation.objects.select_related("tenant").order_by("-id")


def list_open_operations() -> list[BulkOperation]:
    """Return the unfinished operations in the current tenant context, oldest first, with a single query."""
    found = BulkOperation.objects.select_related("tenant").filter(finished_at__isnull=True)
    return list(found.order_by("id")[:LISTED_OPERATIONS])


def get_operation(operation_id: UUID) -> BulkOperation:
    """Return a bulk operation in the current tenant context; raise BulkOperationNotFoundError if there is none."""
    try:
        return find_operations().get(pk=operation_id)
    except BulkOperation.DoesNotExist:
        raise BulkOperationNotFoundError from None


@dataclass(frozen=True, slots=True)
class BulkProgress:
    """Progress of an operation: seconds so far, jobs per second, share from 0 to 1, and seconds left.

    ``share`` and ``eta_seconds`` are None if unknown.
    """

    seconds: float
    rate: float
    share: float | None
    eta_seconds: float | None


def progress_of(operation: BulkOperation, now: datetime) -> BulkProgress:
    """Return the progress of an operation; the time left is estimated from the rate over the whole run."""
    if operation.started_at is None:
        return BulkProgress(0.0, 0.0, None, None)
    seconds = max(0.0, ((operation.finished_at or now) - operation.started_at).total_seconds())
    rate = operation.seen / seconds if seconds else 0.0
    if not operation.is_open:
        return BulkProgress(seconds, rate, 1.0 if operation.state == operation.State.COMPLETED else None, None)
    if operation.is_expected_capped:
        return BulkProgress(seconds, rate, None, None)
    left = max(0, operation.expected - operation.seen)
    # The last jobs seen may be unchanged yet: the share is 1 only at the end.
    share = min(0.99, operation.seen / operation.expected) if operation.expected else 0.99
    return BulkProgress(seconds, rate, share, left / rate if rate else None)
