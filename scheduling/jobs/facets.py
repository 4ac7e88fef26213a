"""Counts of a filter's jobs by state, queue and kind, and of newer jobs; each read is bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count

from scheduling.jobs.filters import JobFilter, Term
from scheduling.jobs.planner_hints import force_index_scans
from scheduling.jobs.queries import COUNT_LIMIT, CappedCount
from scheduling.jobs.querysets import JobQuerySet
from scheduling.models import Job

# The newest rows over which a facet is counted: some 50 ms of the database's time.
FACET_ROWS = 20_000
# More new jobs than this are "100+": the list restarts anyway.
NEWS_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Facet:
    """The number of jobs for each value of one field, under a filter's conditions on all other fields.

    ``is_cut``: not all rows were read, so that the numbers are lower bounds.
    """

    counts: Mapping[str, int]
    is_cut: bool

    def count_of(self, value: str) -> CappedCount:
        """Return the number of jobs with the value, or a lower bound."""
        found = self.counts.get(value, 0)
        return CappedCount(min(found, COUNT_LIMIT), self.is_cut or found > COUNT_LIMIT)


def read_facets(job_filter: JobFilter, *, now: datetime) -> dict[str, Facet]:
    """Return the facets of a filter by field name (state, queue, kind), from two bounded reads."""
    frozen = job_filter.frozen(now)
    by_state, states_are_cut = _looked_at(frozen.less("state"), now)
    states = dict(by_state.values_list("state").annotate(n=Count("id")))
    with force_index_scans() if frozen.is_found_by_table else nullcontext():
        by_place, places_are_cut = _looked_at(frozen.less("queue", "kind"), now)
        places = list(by_place.values_list("queue__name", "kind").annotate(n=Count("id")))
    queues, kinds = Counter[str](), Counter[str]()
    for queue, kind, count in places:
        if _is_meant(kind, "kind", frozen.terms):
            queues[queue] += count
        if _is_meant(queue, "queue", frozen.terms):
            kinds[kind] += count
    return {
        "state": Facet(states, states_are_cut),
        "queue": Facet(queues, places_are_cut),
        "kind": Facet(kinds, places_are_cut),
    }


def count_newer(job_filter: JobFilter, since: UUID, *, now: datetime) -> CappedCount:
    """Return how many matching jobs were submitted after the job ``since``; it reads a bounded number of rows."""
    newer = Job.objects.filter(id__gt=since)
    end = newer.order_by("id").values_list("id", flat=True)[FACET_ROWS : FACET_ROWS + 1].first()
    matching = job_filter.apply(newer if end is None else newer.filter(id__lt=end), now=now)
    found = matching.order_by().values("id")[: NEWS_LIMIT + 1].count()
    return CappedCount(min(found, NEWS_LIMIT), end is not None or found > NEWS_LIMIT)


def _looked_at(job_filter: JobFilter, now: datetime) -> tuple[JobQuerySet, bool]:
    """Return the matching jobs among the newest rows, and whether there are more rows."""
    matching = job_filter.apply(Job.objects.order_by(), now=now)
    if job_filter.is_keyed:
        ids = list(matching.values_list("id", flat=True)[: FACET_ROWS + 1])
        is_cut = len(ids) > FACET_ROWS
        return (Job.objects.order_by().filter(id__in=ids[:FACET_ROWS]) if is_cut else matching), is_cut
    rows = job_filter.bounds.apply(Job.objects.order_by("-id"), now=now)
    end = rows.values_list("id", flat=True)[FACET_ROWS : FACET_ROWS + 1].first()
    return (matching if end is None else matching.filter(id__gt=end)), end is not None


def _is_meant(value: str, field: str, terms: Iterable[Term]) -> bool:
    return all((value in term.values) != term.is_negated for term in terms if term.field == field)
