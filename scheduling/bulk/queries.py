"""Reads of bulk operations: which jobs one means, chunk by chunk, what it would do, and how far it is."""

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
# Jobs that one turn looks at where no index leads to the filter's: so that none lasts long, whatever is found.
WINDOW_ROWS = 20_000
SAMPLE_ROWS = 5
# Conditions that lead to few rows at once; without one the jobs are looked at window by window.
_NARROW_FIELDS = frozenset({"state", "id", "batch", "parent", "key", "dead_letter", "died", "fingerprint", "requeued"})
UNCHANGED = "unchanged"
# Of those that go on, as many as the first page shows.
LISTED_OPERATIONS = 20


@dataclass(frozen=True, slots=True)
class FrozenJobs:
    """Jobs of the scope that match, among those that there were at one moment: later ones are not in it."""

    job_filter: JobFilter
    frozen_at: datetime
    newest_id: UUID | None

    def rows(self) -> JobQuerySet:
        """All of them; their states are those of now."""
        jobs: JobQuerySet = Job.objects.all()
        if self.newest_id is None:
            return jobs.none()
        bounded = jobs.filter(id__lte=self.newest_id, created_at__lte=self.frozen_at)
        return self.job_filter.apply(bounded, now=self.frozen_at)

    def next_chunk(self, states: Collection[JobState], *, after: UUID | None, limit: int) -> Chunk:
        """The next that are in ``states``, oldest first, and by state how many others were passed on the way."""
        end = self._window_end(after)
        found = self._between(after, end).filter(state__in=sorted(states)).order_by("id")
        job_ids = list(found.values_list("id", flat=True)[:limit])
        if len(job_ids) == limit:
            end = job_ids[-1]
        return Chunk(job_ids, self.count_passed(states, after=after, end=end), end)

    def count_passed(
        self, states: Collection[JobState], *, after: UUID | None, end: UUID | None, but: Sequence[UUID] = ()
    ) -> Counter[str]:
        """Count by state the jobs between two ids that are not in ``states``, except ``but``, which were acted on."""
        if self.job_filter.states <= frozenset(states):
            return Counter()  # the filter finds no others; without this each turn would walk over all that it finds
        rows = self._between(after, end).exclude(state__in=sorted(states))
        if but:
            rows = rows.exclude(id__in=but)
        return Counter(dict(rows.order_by().values_list("state").annotate(n=Count("id"))))

    def _between(self, after: UUID | None, end: UUID | None) -> JobQuerySet:
        rows = self.rows() if after is None else self.rows().filter(id__gt=after)
        return rows if end is None else rows.filter(id__lte=end)

    def _window_end(self, after: UUID | None) -> UUID | None:
        """The last id of the next window; None where nothing is left behind it."""
        if self.newest_id is None or self._is_narrow():
            return None
        ids = Job.objects.filter(id__lte=self.newest_id).order_by("id").values_list("id", flat=True)
        if after is not None:
            ids = ids.filter(id__gt=after)
        return next(iter(ids[WINDOW_ROWS - 1 : WINDOW_ROWS]), None)

    def _is_narrow(self) -> bool:
        terms = self.job_filter.terms
        leads = any(term.field in _NARROW_FIELDS and not term.is_negated for term in terms)
        return leads and not self.job_filter.is_walked


@dataclass(frozen=True, slots=True)
class Chunk:
    """Jobs that one turn acts on, and those that it passed; ``end`` None: it is the last turn."""

    job_ids: Sequence[UUID]
    passed: Counter[str]
    end: UUID | None


@dataclass(frozen=True, slots=True)
class MatchingGroup:
    """How many matching jobs are alike in what matters; ``is_same``: they are already as they are to be."""

    state: JobState
    tenant_id: UUID
    queue_id: int
    queue: str
    kind: str
    is_same: bool
    count: int


@dataclass(frozen=True, slots=True)
class BulkPreview:
    """What a bulk operation would do now. All but the words are counted among at most `COUNT_LIMIT` matching jobs."""

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
    """Count what matches by state and queue; ``unchanged`` are jobs that are already as they are to be."""
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
    """The bulk operations of the scope, newest first, with whose they are and what they take back."""
    return BulkOperation.objects.select_related("tenant").order_by("-id")


def list_open_operations() -> list[BulkOperation]:
    """Those of the scope that go on now, oldest first: one statement, on their rows alone."""
    found = BulkOperation.objects.select_related("tenant").filter(finished_at__isnull=True)
    return list(found.order_by("id")[:LISTED_OPERATIONS])


def get_operation(operation_id: UUID) -> BulkOperation:
    """One bulk operation; `BulkOperationNotFoundError` for another tenant's as for none."""
    try:
        return find_operations().get(pk=operation_id)
    except BulkOperation.DoesNotExist:
        raise BulkOperationNotFoundError from None


@dataclass(frozen=True, slots=True)
class BulkProgress:
    """How far an operation is; ``eta_seconds`` and ``share`` are None where nobody can tell."""

    seconds: float
    rate: float
    share: float | None
    eta_seconds: float | None


def progress_of(operation: BulkOperation, now: datetime) -> BulkProgress:
    """The rate over all its time, and by it what is left of the jobs that it began with."""
    if operation.started_at is None:
        return BulkProgress(0.0, 0.0, None, None)
    seconds = max(0.0, ((operation.finished_at or now) - operation.started_at).total_seconds())
    rate = operation.seen / seconds if seconds else 0.0
    if not operation.is_open:
        return BulkProgress(seconds, rate, 1.0 if operation.state == operation.State.COMPLETED else None, None)
    if operation.is_expected_capped:
        return BulkProgress(seconds, rate, None, None)
    left = max(0, operation.expected - operation.seen)
    # What is seen last may not be done yet: only the end says that it is all.
    share = min(0.99, operation.seen / operation.expected) if operation.expected else 0.99
    return BulkProgress(seconds, rate, share, left / rate if rate else None)
