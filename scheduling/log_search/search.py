"""Search of log lines: the newest matching ones, found by the segments that may have their words.

Lines that are not indexed yet are read one by one. A search ends at its time limit, and returns its position.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from scheduling.correlation.queries import jobs_of_request
from scheduling.execution.logs.queries import open_lines
from scheduling.jobs.filters.rows import CLOCK_SLACK
from scheduling.log_search.query import LogQuery, LogSearchInvalidError
from scheduling.log_search.segments import (
    FACETS,
    FIRST,
    earlier,
    facet_word,
    last_indexed,
    line_text,
    lines_between,
    search_key,
)
from scheduling.log_search.words import positions
from scheduling.models import Job, JobLog
from tenants.context import current_tenant_id
from tenants.database.ids import uuid7_floor
from tenants.database.prepared import fetch_all, fetch_one
from tenants.database.sql import load_sql
from tenants.encryption.fields import is_sealing
from tenants.models import Tenant

SECONDS = 0.8
PAGE_LINES, SEGMENTS_AT_ONCE = 1_000, 32
MAX_JOBS = 200
# Matching lines whose facets are counted, and parts of the time range in the histogram.
FACET_LINES, PARTS = 500, 48
DEFAULT_RANGE = timedelta(days=1)
_LAST = UUID(int=(1 << 128) - 1)
_SQL = load_sql(__file__)


@dataclass(frozen=True, slots=True)
class FoundLines:
    """Matching rows of `JobLog`, newest first, each with `FACETS` and ``slug``, that of its tenant.

    The search continues with lines before the id ``before``; it is None if there are no more. ``is_cut``: it ended
    because it took too long.
    """

    lines: list[Any]
    before: UUID | None
    is_cut: bool


@dataclass(frozen=True, slots=True)
class LogSummary:
    """Numbers of matching lines by part of a time range, and of the newest ones by facet.

    ``is_estimated``: the first are projected from the segments that were read.
    """

    since: datetime
    until: datetime
    parts: list[int]
    facets: Mapping[str, Mapping[str, int]]
    counted: int
    is_estimated: bool


def search_lines(
    query: LogQuery,
    *,
    before: UUID | None = None,
    after: UUID | None = None,
    limit: int = 50,
    seconds: float = SECONDS,
) -> FoundLines:
    """Return the newest matching lines that the current scope sees, before one line and after another.

    Raise `LogSearchInvalidError` if no tenant is named although the words are hashed with a key of each tenant.
    """
    walk = _Walk(query, before, after)
    return first_page(walk.marks(), walk.found, limit, seconds)


def first_page(marks: Iterable[UUID], found: list[Any], limit: int, seconds: float) -> FoundLines:
    """Return the newest lines ``found`` between marks: the highest id that a line found later can have."""
    give_up_at = time.monotonic() + seconds
    mark: UUID | None = None
    for mark in marks:
        ready = [line for line in found if line.id > mark]
        if len(ready) > limit or time.monotonic() > give_up_at:
            break
    else:
        mark, ready = None, found
    lines = sorted(ready, key=lambda line: line.id, reverse=True)
    if len(lines) > limit:
        return FoundLines(lines[:limit], lines[limit - 1].id, is_cut=False)
    return FoundLines(lines, None if mark is None else UUID(int=min(mark.int + 1, _LAST.int)), is_cut=mark is not None)


def summarize_lines(query: LogQuery) -> LogSummary:
    """Return numbers of the matching lines, of the last day if the search has no time range."""
    until = query.until or timezone.now()
    since = query.since or until - DEFAULT_RANGE
    walk, give_up_at = _Walk(query.between(since, until), None, None), time.monotonic() + SECONDS
    for _mark in walk.marks():
        # At least some segments are read, to estimate the others.
        if walk.found_in_segments >= FACET_LINES or time.monotonic() > give_up_at:
            break
    names = (*FACETS, "level", *(["tenant"] if current_tenant_id() is None else []))
    facets = {name: Counter(filter(None, (_fact(line, name) for line in walk.found))) for name in names}
    is_estimated = bool(query.terms or query.level > JobLog.Level.DEBUG or query.values.keys() - {"tenant"})
    share = walk.found_in_segments / max(walk.lines_of_segments, 1) if is_estimated else 1.0
    parts = [round(count * share) for count in walk.lines_by_time(since, until)]
    parts[-1] += len(walk.found) - walk.found_in_segments
    return LogSummary(
        since,
        until,
        parts,
        {name: dict(counts.most_common(10)) for name, counts in facets.items()},
        len(walk.found),
        is_estimated,
    )


def lines_around(line_id: UUID, *, count: int = 20) -> list[JobLog]:
    """Return a line that the scope sees between the lines of its job right before and after it, oldest first."""
    line = JobLog.objects.filter(pk=line_id).first()
    if line is None:
        return []
    of_job = JobLog.objects.filter(tenant_id=line.tenant_id, job_id=line.job_id)
    older = of_job.filter(pk__lte=line_id).order_by("-pk")[: count + 1]
    newer = of_job.filter(pk__gt=line_id).order_by("pk")[:count]
    return open_lines([*reversed(older), *newer])


def add_requests(lines: Iterable[Any]) -> None:
    """Add to each line the ``request`` that submitted its job, and its time ``requested_at``."""
    tenants = {line.job_id: line.tenant_id for line in lines}
    requests: dict[UUID, tuple[str, datetime | None]] = {}
    if tenants:
        values = {"jobs": list(tenants), "tenants": list(tenants.values()), "since": earlier(min(tenants), CLOCK_SLACK)}
        rows = fetch_all(_SQL["requests_of_jobs"], values, is_planned=True)
        requests = {row.job_id: (row.request_id, row.at) for row in rows}
    for line in lines:
        line.request, line.requested_at = requests.get(line.job_id, ("", None))


def _fact(line: JobLog, name: str) -> str:
    if name == "level":
        return line.get_level_display()
    return str(line.__dict__.get("slug" if name == "tenant" else name) or "")


class _Walk:
    """The parts of a search from the newest lines on, and the matching lines ``found`` in those that were read."""

    def __init__(self, query: LogQuery, before: UUID | None, after: UUID | None) -> None:
        self.found: list[JobLog] = []
        self.found_in_segments = self.lines_of_segments = 0
        self._query = query
        tenants = _tenants_of(query)
        self._has_words, places = _word_condition(query, tenants)
        last = min(before or _LAST, uuid7_floor(query.until) if query.until else _LAST)
        jobs = _jobs_of(query)
        begun = earlier(min(jobs), CLOCK_SLACK) if jobs else FIRST
        self._bounds: dict[str, Any] = {
            "after": max(after or FIRST, begun, uuid7_floor(query.since) if query.since else FIRST),
            "last": UUID(int=max(last.int - 1, 0)),
            "tenants": tenants,
            **places,
        }
        names: dict[str, Any] = {name: list(query.values[name]) if name in query.values else None for name in FACETS}
        parts = [word for word in query.words if word.isascii()]
        self._conditions = {**names, "jobs": jobs, "level": query.level, "parts": parts}

    def marks(self) -> Iterator[UUID]:
        """Before each part is read, yield the highest id that it or a later one can have."""
        if self._conditions["jobs"] is not None:
            yield from self._read_pages(self._bounds["after"])
            return
        yield from self._read_pages(max(last_indexed(), self._bounds["after"]))
        yield from self._read_segments()

    def lines_by_time(self, since: datetime, until: datetime) -> list[int]:
        """Return the numbers of lines of all segments that may have matching lines, by part of a time range."""
        values = {**self._bounds, "from": since.timestamp(), "to": until.timestamp(), "parts": PARTS}
        rows = fetch_all(self._of_segments("lines_by_time"), values, is_planned=True)
        counts = {min(max(row.part, 1), PARTS): row.lines for row in rows}
        return [counts.get(part, 0) for part in range(1, PARTS + 1)]

    def _of_segments(self, name: str) -> str:
        return _SQL[name].replace("true /* has_words */", self._has_words)

    def _read_segments(self) -> Iterator[UUID]:
        below, most = _LAST, 1
        while True:
            values = {**self._bounds, "below": below, "most": most}
            segments = fetch_all(self._of_segments("next_segments"), values, is_planned=True)
            ranges = defaultdict[UUID, list[tuple[UUID, UUID]]](list)
            for each in segments:
                bounds = max(each.after_id, self._bounds["after"]), min(each.last_id, self._bounds["last"])
                ranges[each.tenant_id].append(bounds)
            if segments:
                yield min(segments[0].last_id, self._bounds["last"])
            for tenant_id, own in ranges.items():
                self.found_in_segments += self._read(own, [tenant_id])
            self.lines_of_segments += sum(each.lines for each in segments)
            if len(segments) < most:
                return
            # Lines with common words are in the first one.
            below, most = segments[-1].last_id, min(4 * most, SEGMENTS_AT_ONCE)

    def _read_pages(self, after: UUID) -> Iterator[UUID]:
        """Read the lines after one page by page."""
        last = self._bounds["last"]
        while last > after:
            yield last
            page = {**self._bounds, "after": after, "last": last, "jobs": self._conditions["jobs"], "lines": PAGE_LINES}
            start = fetch_one(_SQL["page_start"], page, is_planned=True)
            before = UUID(int=start.id.int - 1) if start else after
            self._read([(before, last)], self._bounds["tenants"])
            last = before

    def _read(self, ranges: list[tuple[UUID, UUID]], tenants: list[UUID] | None) -> int:
        """Add the matching lines of some ranges of ids to ``found``; return their number."""
        bounds = lines_between(min(after for after, _ in ranges), max(last for _, last in ranges))
        values = {**self._conditions, **bounds, "tenants": tenants}
        # As texts of their own, so that the plan is made for their few lines.
        within = []
        for number, (values[f"after{number}"], values[f"last{number}"]) in enumerate(ranges):
            within.append(f"l.id > %(after{number})s AND l.id <= %(last{number})s")
        statement = _SQL["matching_lines"].replace("false /* ranges */", " OR ".join(within))
        lines = open_lines(JobLog.objects.raw(statement, values))
        matching = [line for line in lines if self._query.matches_text(line_text(line))]
        self.found += matching
        return len(matching)


def _tenants_of(query: LogQuery) -> list[UUID] | None:
    """Return the ids of the tenants whose lines are searched, None for all of them."""
    scope = current_tenant_id()
    slugs = query.values.get("tenant")
    if slugs is None:
        return None if scope is None else [scope]
    named = Tenant.objects.filter(slug__in=slugs).values_list("pk", flat=True)
    return [tenant_id for tenant_id in named if scope in (None, tenant_id)]


def _jobs_of(query: LogQuery) -> list[UUID] | None:
    """Return the ids of the jobs that the search names by job, batch, trace or request; None if it names none."""
    named = {"job": "pk", "batch": "batch_id", "trace": "trace_id"}
    given = [Q((f"{column}__in", query.values[name])) for name, column in named.items() if name in query.values]
    if "request" in query.values:
        found = (jobs_of_request(each, since=query.since, until=query.until) for each in query.values["request"])
        given.append(Q(pk__in=[job_id for jobs in found for job_id in jobs]))
    if not given:
        return None
    return list(Job.objects.filter(*given).order_by("pk").values_list("pk", flat=True)[:MAX_JOBS])


def _word_condition(query: LogQuery, tenants: list[UUID] | None) -> tuple[str, dict[str, int]]:
    """Return the condition that a segment may have the words and the facts of the search, with its parameters."""
    facts = {facet_word(name, str(query.values[name][0])) for name in FACETS if len(query.values.get(name, ())) == 1}
    if query.level == JobLog.Level.ERROR:
        facts.add(facet_word("level", JobLog.Level.ERROR.label))
    words = sorted(query.words | facts)
    is_keyed = is_sealing()
    if not words:
        return "true", {}
    if is_keyed and (tenants is None or len(tenants) != 1):
        raise LogSearchInvalidError(
            "Log lines are encrypted, and their words hashed with a secret of each tenant. Name one, as in tenant:acme."
        )
    key = search_key(tenants[0], is_keyed=True) if is_keyed and tenants else b""
    places = dict.fromkeys(place for word in words for place in positions(word, key))
    bits = {f"bit{number}": place for number, place in enumerate(places)}
    # As one condition, of which PostgreSQL expects that it often holds: it reads the newest segments first, not all.
    lacks_one = " ".join(f"WHEN get_bit(s.filter, %({name})s::bigint) = 0 THEN false" for name in bits)
    has_all = f"CASE {lacks_one} ELSE true END"
    # Segments whose words were hashed otherwise, before values were encrypted, are all read.
    return f"(s.is_keyed <> {is_keyed} OR {has_all})", bits
