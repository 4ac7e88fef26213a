"""The benchmark of the heat map: every measure, kind of rows and time over a million rows of hours."""

from __future__ import annotations

import os
import time
from itertools import product
from pathlib import Path

from benchmarks.harness.filling import analyse, ask, clear_platform, create_tenants, run_statement
from benchmarks.harness.parts import Benchmark, Finding, Part, at_most, shown
from jobsplatform.demo.measures import percentile
from scheduling.models import SeriesHour
from scheduling.statistics.heat_map import HeatChoice, HeatMeasure, HeatSpan, read_heat
from scheduling.statistics.histogram import BUCKETS
from tenants.context import all_tenants

ROWS = int(os.environ.get("HEAT_ROWS", "1_000_000"))
TENANTS, ROUNDS, MOST_MS = 20, 30, 150.0
# Rows of each scope over all tenants, as many as there may be, and for each tenant as many kinds as fill the rest.
NAMES = 200
HOURS = 24 * 7 + 24
_FILL = """
INSERT INTO scheduling_series_hour (scope, tenant_id, name, hour, completed, failed, dead_letters, busy_us, wait, run)
SELECT %(scope)s, t.id, md5(n::text)::uuid::text, date_trunc('hour', now()) - h * interval '1 hour',
    1 + (n * 7 + h) %% 500, (n + h) %% 9, 0, 1000000 * ((n + h) %% 60), filled.counts, filled.counts
FROM unnest(%(tenants)s::uuid[]) AS t (id) CROSS JOIN generate_series(1, %(names)s) AS n
    CROSS JOIN generate_series(0, %(hours)s - 1) AS h
    CROSS JOIN LATERAL (SELECT array_agg((n * b + h) %% 40) AS counts FROM generate_series(1, %(buckets)s) AS b) filled
"""


def measure_heat(folder: Path) -> list[Finding]:
    """Fill the hours and draw each map; ``HEAT_ROWS`` sets the number of rows."""
    del folder
    clear_platform()
    tenants = create_tenants([1] * TENANTS)
    scopes = (SeriesHour.Scope.KIND, SeriesHour.Scope.QUEUE, SeriesHour.Scope.WORKER)
    for scope in scopes:
        _fill(scope, [None], NAMES)
    rest = ROWS - len(scopes) * NAMES * HOURS
    _fill(SeriesHour.Scope.KIND, [tenant.pk for tenant in tenants], max(1, rest // (HOURS * TENANTS)))
    analyse()
    rows = ask("SELECT count(*) FROM scheduling_series_hour")
    found = []
    for span, measure, (scope, tenant) in product(
        HeatSpan, HeatMeasure, [*((scope, None) for scope in scopes), (scopes[0], tenants[0])]
    ):
        choice = HeatChoice(measure, scope, span, tenant)
        found.append((_p95(choice), f"{measure} by {scope}{' of a tenant' if tenant else ''}, {span}"))
    worst, name = max(found)
    return [
        at_most("worst p95 of all maps", worst, MOST_MS, ".0f ms", f"{name}; {rows:,} rows"),
        shown("median of the p95", f"{percentile([taken for taken, _ in found], 0.5):.0f} ms", f"{len(found)} maps"),
    ]


def _fill(scope: str, tenants: list[object], names: int) -> None:
    values = {"scope": scope, "tenants": tenants, "names": names, "hours": HOURS, "buckets": BUCKETS}
    run_statement(_FILL, values)


def _p95(choice: HeatChoice) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        with all_tenants():
            read_heat(choice)
        times.append((time.perf_counter() - began) * 1e3)
    return percentile(times, 0.95)


BENCHMARK = Benchmark(
    name="heat_map",
    title="Heat map",
    parts=(Part("heat", 2.0, measure_heat),),
    method="A million rows of hours over eight days: 200 kinds, queues and workers over all tenants, and kinds of 20 "
    "tenants. Each map is read 30 times, without drawing the page.",
)
