"""The benchmark of the log search: first pages by rare and by common words, and what indexing costs writing jobs."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from benchmarks.harness.filling import (
    add_past_days,
    add_tenants,
    analyse,
    ask,
    clear_platform,
    create_tenants,
    fill_backlog,
    lasting_lock,
    run_statement,
)
from benchmarks.harness.jobs import NOOP_US, Meter, measure_rate, warm_up
from benchmarks.harness.parts import Benchmark, Finding, MeasureFailedError, Part, at_least, at_most, shown
from benchmarks.harness.processes import serving
from jobsplatform.demo.measures import percentile
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.log_search.query import parse_query
from scheduling.log_search.search import search_lines
from scheduling.log_search.segments import index_lines
from tenants.context import tenant_context
from tenants.database.locks import LockClass
from tenants.models import Tenant

LINES = int(os.environ.get("LOG_LINES", "20_000_000"))
SAMPLE = min(LINES, 500_000)
JOBS, SEARCHES, LINE_MS = 100, 40, 30
# One line in so many has a word that no other of the sample has.
RARE_EVERY = 10_000
MOST_RARE_MS, MOST_COMMON_MS, LEAST_RATE = 300.0, 1_000.0, 5_000.0
# Ten words a line, about three of them new; every other line is of status 200.
_FILL = """
INSERT INTO scheduling_joblog (id, tenant_id, job_id, execution_id, attempt, level, message, fields, at)
SELECT uuidv7((n - %(lines)s) * %(step)s * interval '1 ms' - interval '1 minute'), %(tenant)s,
    (%(jobs)s::uuid[])[1 + n %% %(count)s], gen_random_uuid(), 1, 20 + 10 * (n %% 50 = 0)::int,
    format('request %%s of user %%s took %%s ms status %%s from cache node%%s', n %% 5003, n %% 911, n %% 601,
        (ARRAY[200, 404, 200, 500])[1 + n %% 4], n %% 53)
        || CASE WHEN n %% %(rare)s = 7 THEN ' rare' || n / %(rare)s ELSE '' END,
    '{}', now()
FROM generate_series(1, %(lines)s) AS n
"""
# An id as if it had been made earlier.
_EARLIER = (
    "(lpad(to_hex(('x' || left(translate({0}::text, '-', ''), 12))::bit(48)::bigint - %(shift)s), 12, '0')"
    " || substr({0}::text, 14))::uuid"
)
_COPY_LINES = f"""
INSERT INTO scheduling_joblog (id, tenant_id, job_id, execution_id, attempt, level, message, fields, at)
SELECT {_EARLIER.format("id")}, tenant_id, job_id, execution_id, attempt, level, message, fields, at
FROM scheduling_joblog WHERE id >= %(first)s ORDER BY id
"""  # noqa: S608 - a constant
_COPY_SEGMENTS = f"""
INSERT INTO scheduling_log_segment (id, tenant_id, after_id, last_id, until, lines, is_keyed, filter)
SELECT uuidv7(), tenant_id, {_EARLIER.format("after_id")}, {_EARLIER.format("last_id")},
    until - %(shift)s * interval '1 ms', lines, is_keyed, filter
FROM scheduling_log_segment WHERE last_id >= %(first)s ORDER BY last_id
"""  # noqa: S608 - a constant
_ENDS = """
(SELECT id FROM scheduling_joblog ORDER BY id LIMIT 1) UNION ALL
(SELECT id FROM scheduling_joblog ORDER BY id DESC LIMIT 1)
"""
# The first segment begins where the log did, which is where the copy before it ends.
_BOUND = "UPDATE scheduling_log_segment SET after_id = %(first)s WHERE after_id < %(first)s"

TENANTS, SLOTS, TURN_SECONDS, LEAST_SHARE = 100, 2, 12.0, 0.95
BACKLOG = 600_000
# More lines than the duty can index in all its turns.
UNINDEXED = 300_000
# Each of a pair is first in half of them: the machine may become slower or faster.
TURNS = (False, True, True, False, False, True, True, False)


def measure_search(folder: Path) -> list[Finding]:
    """Fill the log, index it, and search for the first page; ``LOG_LINES`` sets the number of lines."""
    del folder
    clear_platform()
    add_past_days()
    tenant = _fill(SAMPLE)
    analyse()
    began, indexed = time.perf_counter(), 0
    while count := index_lines():
        indexed += count
    seconds = time.perf_counter() - began
    (first,), (last,) = run_statement(_ENDS)
    run_statement(_BOUND, {"first": first})
    copies, length = LINES // SAMPLE, (last.int >> 80) - (first.int >> 80) + LINE_MS
    for copy in range(1, copies):
        _copy(first, shift=copy * length)
    analyse()
    size = ask("SELECT pg_total_relation_size('scheduling_log_segment')")
    rare = _pages(tenant, (f"rare{n}" for n in range(SEARCHES)))
    absent = _pages(tenant, (f"absent{n}" for n in range(SEARCHES)))
    common = _pages(tenant, (f"status node{n}" for n in range(SEARCHES)))
    lines = copies * SAMPLE
    beside = f"{lines:,} lines of one tenant over {copies * length / 86_400_000:.1f} days"
    each = f"{beside}, {copies} of them with the word"
    return [
        at_most("first page by a rare word, p95", percentile(rare, 0.95), MOST_RARE_MS, ".0f ms", each),
        at_most("first page by a word of no line, p95", percentile(absent, 0.95), MOST_RARE_MS, ".0f ms", beside),
        at_most("first page by common words, p95", percentile(common, 0.95), MOST_COMMON_MS, ".0f ms", beside),
        at_least("lines indexed a second", indexed / seconds, LEAST_RATE, ",.0f", "one process, without pauses"),
        shown("size of the index", f"{size / 2**20:,.0f} MiB", f"{size / lines:.1f} bytes a line"),
    ]


def measure_writing(folder: Path) -> list[Finding]:
    """Measure merged jobs that each write a line, while a dispatcher indexes the lines and while it must not."""
    clear_platform()
    _fill(UNINDEXED)
    tenants = add_tenants(TENANTS, estimate_us=NOOP_US)
    fill_backlog(tenants, BACKLOG, kind="sleep", payload={"seconds": 0})
    analyse()
    rates: dict[bool, list[float]] = {True: [], False: []}
    costs: dict[bool, list[float]] = {True: [], False: []}
    with serving(folder, slots=SLOTS) as processes:
        warm_up(processes)
        for is_on in TURNS:
            before = _indexed()
            with _indexing(is_on=is_on), Meter(processes, slots=SLOTS) as meter:
                rates[is_on].append(measure_rate(processes, TURN_SECONDS))
            costs[is_on].append(1e3 * meter.processors / rates[is_on][-1])
            if is_on and _indexed() == before:
                raise MeasureFailedError("No line was indexed.")
        indexed = _indexed()
    share = statistics.mean(rates[True]) / statistics.mean(rates[False])
    turns = ", ".join(f"{rate:,.0f}" for is_on in (True, False) for rate in rates[is_on])
    cost = " against ".join(f"{statistics.mean(costs[is_on]):.2f}" for is_on in (True, False))
    beside = (
        f"{cost} ms of processor time of all processes per job; "
        f"`sleep` jobs of 0 s of {TENANTS} tenants, each with one line, {SLOTS} slots; turns of {TURN_SECONDS:.0f} s "
        f"in one run ({turns} jobs/s, those with indexing first), between which only the indexing is stopped; a "
        f"backlog of lines keeps it busy throughout its turns; {indexed:,} lines indexed in all"
    )
    return [at_least("merged jobs that write a line, indexed against not indexed", share, LEAST_SHARE, ".0%", beside)]


@contextmanager
def _indexing(*, is_on: bool) -> Iterator[None]:
    if is_on:
        yield
        return
    with lasting_lock(LockClass.LOG_SEGMENTS):
        yield


def _indexed() -> int:
    return ask("SELECT sum(lines) FROM scheduling_log_segment")


def _fill(lines: int) -> Tenant:
    """Write lines of the jobs of a new tenant, and return it."""
    (tenant,) = create_tenants([1])
    bulk = submit_jobs(tenant=tenant, requests=[JobRequest(kind="noop")] * JOBS)
    jobs = [submission.job.pk for _, submission in bulk.accepted]
    values = {"tenant": tenant.pk, "jobs": jobs, "count": JOBS, "lines": lines, "step": LINE_MS, "rare": RARE_EVERY}
    run_statement(_FILL, values)
    return tenant


def _copy(first: UUID, *, shift: int) -> None:
    """Copy the lines of the sample and their segments to an earlier time; the same words make the same filters."""
    for statement in (_COPY_LINES, _COPY_SEGMENTS):
        run_statement(statement, {"first": first, "shift": shift})


def _pages(tenant: Tenant, texts: Iterable[str]) -> list[float]:
    """Return the milliseconds of the first page of each search."""
    took = []
    for text in texts:
        query = parse_query(text, is_sealed=False)
        began = time.perf_counter()
        with tenant_context(tenant):
            found = search_lines(query)
        took.append(1_000 * (time.perf_counter() - began))
        if bool(found.lines) == text.startswith("absent"):
            raise MeasureFailedError(f"{text}: {len(found.lines)} lines.")
    return took


BENCHMARK = Benchmark(
    name="logs",
    title="Log search",
    parts=(Part("search", 20.0, measure_search), Part("writing", 6.0, measure_writing)),
    method="Lines of ten words, of one tenant and 100 jobs, written by SQL. A sample of 500,000 is indexed by the "
    "dispatchers' duty without its pauses; its lines and segments are copied with earlier ids until LOG_LINES are "
    "there, so each rare word is in as many lines as there are copies, spread over all of the time. A first page has "
    "the newest 50 matching lines.",
)
