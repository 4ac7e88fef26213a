"""The benchmark of the log search: building the index of many lines, and first pages by rare and by common words."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.harness.filling import analyse, ask, clear_platform, create_tenants, run_statement
from benchmarks.harness.parts import Benchmark, Finding, Part, at_least, at_most, shown
from jobsplatform.demo.measures import percentile
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.log_search.query import parse_query
from scheduling.log_search.search import search_lines
from scheduling.log_search.segments import TURN_LINES, index_lines
from tenants.context import tenant_context
from tenants.models import Tenant

LINES = int(os.environ.get("LOG_LINES", "20_000_000"))
JOBS, PIECE, SEARCHES = 100, 500_000, 40
MOST_RARE_MS, MOST_COMMON_MS, LEAST_RATE = 300.0, 1_000.0, 5_000.0
# Ten words a line: one in a million lines has `rare…`, one in two is of status 200.
_FILL = """
INSERT INTO scheduling_joblog (id, tenant_id, job_id, execution_id, attempt, level, message, fields, at)
SELECT uuidv7((n - %(lines)s - 1e6) * interval '100 ms'), %(tenant)s, (%(jobs)s::uuid[])[1 + n %% %(count)s],
    gen_random_uuid(), 1, 20 + 10 * (n %% 50 = 0)::int,
    format('request %%s of user %%s took %%s ms status %%s from cache node%%s', n %% 5003, n %% 911, n %% 601,
        (ARRAY[200, 404, 200, 500])[1 + n %% 4], n %% 53)
        || CASE WHEN n %% 1000000 = 7 THEN ' rare' || n / 1000000 ELSE '' END,
    '{}', now()
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""


def measure_search(folder: Path) -> list[Finding]:
    """Fill the log, index it, and search for the first page; ``LOG_LINES`` sets the number of lines."""
    del folder
    clear_platform()
    (tenant,) = create_tenants([1])
    bulk = submit_jobs(tenant=tenant, requests=[JobRequest(kind="noop")] * JOBS)
    jobs = [submission.job.pk for _, submission in bulk.accepted]
    for first in range(1, LINES + 1, PIECE):
        last = min(first + PIECE - 1, LINES)
        values = {"tenant": tenant.pk, "jobs": jobs, "count": JOBS, "lines": LINES, "first": first, "last": last}
        run_statement(_FILL, values)
    analyse()
    began, indexed = time.perf_counter(), 0
    while count := index_lines(most=10 * TURN_LINES):
        indexed += count
    seconds = time.perf_counter() - began
    analyse()
    size = ask("SELECT pg_total_relation_size('scheduling_log_segment')")
    rare = _pages(tenant, (f"rare{n % max(LINES // 1_000_000, 1)}" for n in range(SEARCHES)))
    absent = _pages(tenant, (f"absent{n}" for n in range(SEARCHES)))
    common = _pages(tenant, (f"status node{n % 53}" for n in range(SEARCHES)))
    beside = f"{LINES:,} lines of one tenant"
    return [
        at_most("first page by a rare word, p95", percentile(rare, 0.95), MOST_RARE_MS, ".0f ms", beside),
        at_most("first page by a word of no line, p95", percentile(absent, 0.95), MOST_RARE_MS, ".0f ms", beside),
        at_most("first page by common words, p95", percentile(common, 0.95), MOST_COMMON_MS, ".0f ms", beside),
        at_least("lines indexed a second", indexed / seconds, LEAST_RATE, ",.0f", "one process, without pauses"),
        shown("size of the index", f"{size / 2**20:,.0f} MiB", f"{size / LINES:.1f} bytes a line"),
    ]


def _pages(tenant: Tenant, texts: Iterable[str]) -> list[float]:
    """Return the milliseconds of the first page of each search."""
    took = []
    for text in texts:
        query = parse_query(text, is_sealed=False)
        began = time.perf_counter()
        with tenant_context(tenant):
            search_lines(query)
        took.append(1_000 * (time.perf_counter() - began))
    return took


BENCHMARK = Benchmark(
    name="logs",
    title="Log search",
    parts=(Part("search", 45.0, measure_search),),
    method="Lines of ten words, of one tenant and 100 jobs, written by SQL, then indexed by the dispatchers' duty "
    "without its pauses. A first page has the newest 50 matching lines. One line in a million has a rare word; every "
    "line has the common ones. The environment variable LOG_LINES sets another number of lines.",
)
