"""Reads of bulk operations: the meant jobs chunk by chunk, the preview and the progress."""

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
    """Matching jobs of the scope that existed at one moment, without later ones."""

    job_filter: JobFilter
    frozen_at: datetime
    newest_id: UUID | None

    def rows(self) -> JobQuerySet:
        """Return all of them, with their present states."""
        jobs: JobQuerySet = Job.objects.all()
        if self.newest_id is None:
            return jobs.none()
        bounded = jobs.filter(id__lte=self.newest_id, created_at__lte=self.frozen_at)
        return self.job_filter.apply(bounded, now=self.frozen_at)

    def next_chunk(self, states: Collection[JobState], *, after: UUID | None, limit: int) -> JobChunk:
        """Return the next jobs in ``states``, oldest first, and by state the number of other jobs passed."""
        end = self._window_end(after)
        found = self._between(after, end).filter(state__in=sorted(states)).order_by("id")
        job_ids = list(found.values_list("id", flat=True)[:limit])
        if len(job_ids) == limit:
            end = job_ids[-1]
        return JobChunk(job_ids, self.count_passed(states, after=after, end=end), end)

    def count_passed(
        self, states: Collection[JobState], *, after: UUID | None, end: UUID | None, but: Sequence[UUID] = ()
    ) -> Counter[str]:
        """Count by state the jobs between two ids that are not in ``states``, except ``but``, which were acted on."""
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
        """Return the last id of the next window, or None if it is the last window."""
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
    """Jobs of one turn, and those that it passed; ``end`` is None in the last turn."""

    job_ids: Sequence[UUID]
    passed: Counter[str]
    end: UUID | None


@dataclass(frozen=True, slots=True)
class MatchingGroup:
    """Number of matching jobs with equal facts; ``is_same``: they have the wanted value already."""

    state: JobState
    tenant_id: UUID
    queue_id: int
    queue: str
    kind: str
    is_same: bool
    count: int


@dataclass(frozen=True, slots=True)
class BulkPreview:
    """Preview of a bulk operation; all but the words is counted among at most `COUNT_LIMIT` matching jobs."""

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
    """Count matching jobs by state and queue; ``unchanged`` is the condition of those with the wanted value."""
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
    """Return the bulk operations of the scope, newest first, with their tenants."""
    return BulkOperation.objects.select_related("tenant").order_by("-id")


def list_open_operations() -> list[BulkOperation]:
    """Return the open operations of the scope, oldest first, in one statement on their rows alone."""
    found = BulkOperation.objects.select_related("tenant").filter(finished_at__isnull=True)
    return list(found.order_by("id")[:LISTED_OPERATIONS])


def get_operation(operation_id: UUID) -> BulkOperation:
    """Return a bulk operation of the scope; raise BulkOperationNotFoundError if there is none."""
    try:
        return find_operations().get(pk=operation_id)
    except BulkOperation.DoesNotExist:
        raise BulkOperationNotFoundError from None


@dataclass(frozen=True, slots=True)
class BulkProgress:
    """Progress of an operation; ``eta_seconds`` and ``share`` are None if unknown."""

    seconds: float
    rate: float
    share: float | None
    eta_seconds: float | None


def progress_of(operation: BulkOperation, now: datetime) -> BulkProgress:
    """Return the rate over the whole run, and from it the time for the rest of the expected jobs."""
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
