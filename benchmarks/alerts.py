"""The benchmark of alerts: what a turn of the evaluation costs with many rules, queues and tenants."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection
from django.urls import reverse

from benchmarks.harness.filling import add_tenants, analyse, ask, clear_platform, run_statement
from benchmarks.harness.parts import Benchmark, Finding, Part, at_most, shown
from jobsplatform.demo.measures import percentile
from scheduling.alerts.evaluator import Evaluator
from scheduling.models import Alert, AlertClock, AlertRule
from scheduling.statistics import histogram
from tenants.context import all_tenants
from tenants.database.prepared import watch_statements

RULES, QUEUES, TENANTS = 200, 300, 1_000
TURNS = int(os.environ.get("ALERT_TURNS", "24"))
MOST_TURN_MS, MOST_SHARE = 200.0, 0.01
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
# Queues of one pool, and five minutes of their rollups and of the tenants'; one in twenty fails beyond the rules'
# thresholds, and one in thirty has a job that has waited for long.
_QUEUES = """
INSERT INTO scheduling_queue SELECT (made.q).* FROM (
    SELECT jsonb_populate_record(q, jsonb_build_object('id', 1000 + n, 'name', 'bench-' || n)) AS q
    FROM scheduling_queue q, generate_series(1, %(count)s) AS n WHERE q.name = 'pipeline'
) AS made
"""
_MINUTES = """
WITH minutes AS (
    SELECT date_trunc('minute', now()) + make_interval(mins => m) AS minute FROM generate_series(-6, 15) AS m
), empty AS (
    SELECT array_agg(0) AS histogram FROM generate_series(1, %(buckets)s)
), queues AS (
    INSERT INTO scheduling_queue_minute (minute, queue_id, completed, failed, dead_letters, busy_us, wait, run)
    SELECT minute, 1000 + n, 100, CASE WHEN n %% 20 = 0 THEN 60 ELSE 1 END, 0, 0, histogram, histogram
    FROM minutes, empty, generate_series(1, %(queues)s) AS n
), tenants AS (
    INSERT INTO scheduling_tenant_minute (tenant_id, minute, queue_id, completed, failed, dead_letters, busy_us, wait,
        run)
    SELECT id, minute, 1001, 100, CASE WHEN number %% 20 = 0 THEN 60 ELSE 1 END, 0, 0, histogram, histogram
    FROM minutes, empty, unnest(%(tenants)s::uuid[]) WITH ORDINALITY AS t (id, number)
), kinds AS (
    INSERT INTO scheduling_kind_minute (tenant_id, minute, kind, queue_id, completed, failed, dead_letters, busy_us,
        wait, run)
    SELECT id, minute, 'noop', 1001, 100, 1, 0, 0, histogram, histogram
    FROM minutes, empty, unnest(%(tenants)s::uuid[]) AS id
), waits AS (
    INSERT INTO scheduling_queue_gauge (minute, queue_id, waiting, backing_off, due, dispatched, executing,
        slots_milli, sampled_at, oldest_at)
    SELECT minute, 1000 + n, 1, 0, 0, 0, 0, 0, now(),
        now() - CASE WHEN n %% 30 = 0 THEN interval '1 h' ELSE interval '2 s' END
    FROM minutes, generate_series(1, %(queues)s) AS n
)
INSERT INTO scheduling_tenant_gauge (tenant_id, minute, queue_id, waiting, backing_off, due, dispatched, executing,
    slots_milli, busy_us, sampled_at, oldest_at)
SELECT id, minute, 1001, 1, 0, 0, 0, 0, 0, 0, now(), now() - interval '2 s'
FROM minutes, unnest(%(tenants)s::uuid[]) AS id
"""
_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE pid = pg_backend_pid()"


def measure_turns(folder: Path) -> list[Finding]:
    """Evaluate 200 rules over 300 queues and 1,000 tenants, as a dispatcher does; ``ALERT_TURNS`` sets the turns."""
    del folder
    clear_platform()
    _fill()
    # Loads the URLs, as the dispatchers' sending thread does when it starts.
    reverse("admin:index")
    evaluator, counter = Evaluator(), _Counter()
    backend = ask(_BACKENDS)
    for _ in range(2):  # the first turns create the alerts
        _take_turn(evaluator)
    took: list[float] = []
    processor = _processor_seconds(os.getpid()), _processor_seconds(backend)
    began = time.monotonic()
    with counter.counting():
        for _ in range(TURNS):
            time.sleep(max(0.0, evaluator.interval_seconds() - (took[-1] / 1_000 if took else 0.0)))
            at = time.perf_counter()
            evaluator.take_turn()
            took.append(1_000 * (time.perf_counter() - at))
    elapsed = time.monotonic() - began
    own, database = (
        _processor_seconds(pid) - before for pid, before in zip((os.getpid(), backend), processor, strict=True)
    )
    with all_tenants():
        firing = Alert.objects.filter(state="firing").count()
    beside = f"{RULES} rules, {QUEUES} queues, {TENANTS:,} tenants, {firing} alerts fire"
    per_turn = 1_000 * (own + database) / TURNS
    share = (own + database) / elapsed / (os.cpu_count() or 1)
    return [
        at_most("a turn, p50", percentile(took, 0.5), MOST_TURN_MS, ".0f ms", beside),
        shown("a turn, p95", f"{percentile(took, 0.95):.0f} ms", beside),
        shown("statements a turn, mean", f"{counter.statements / TURNS:.0f}", beside),
        shown(
            "processor time a turn",
            f"{per_turn:.0f} ms",
            f"{1_000 * own / TURNS:.0f} ms of the dispatcher, {1_000 * database / TURNS:.0f} ms of PostgreSQL",
        ),
        at_most(
            "share of the machine's processors", share, MOST_SHARE, ".2%", f"{os.cpu_count()} cores; one dispatcher"
        ),
    ]


def _fill() -> None:
    tenants = add_tenants(TENANTS - 1)
    run_statement(_QUEUES, {"count": QUEUES})
    run_statement(_MINUTES, {"tenants": tenants, "queues": QUEUES, "buckets": histogram.BUCKETS})
    with all_tenants():
        AlertRule.objects.bulk_create(_rules(tenants, RULES - AlertRule.objects.count()))
    analyse()


def _rules(tenants: Sequence[UUID], count: int) -> Iterator[AlertRule]:
    """Yield rules as teams and tenants have them: about one queue each, and tenants' about their own objects."""
    for number in range(count):
        measure, threshold = (("failure_rate", 0.2), ("oldest_wait", 300.0))[number // 2 % 2]
        values = {"name": f"bench {number}", "measure": measure, "comparison": "gt", "threshold": threshold}
        if number % 2:
            yield AlertRule(tenant_id=tenants[number], per="tenant", severity="warning", **values)
        else:
            yield AlertRule(per="queue", only_queue=f"bench-{number + 1}", severity="warning", **values)


def _take_turn(evaluator: Evaluator) -> None:
    with all_tenants():
        AlertClock.objects.update(evaluated_at=None)
    evaluator.take_turn()


class _Counter:
    """Count of the statements of this process."""

    def __init__(self) -> None:
        self.statements = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count while in the context."""
        watch_statements(self._watch)
        try:
            with connection.execute_wrapper(self._execute):
                yield
        finally:
            watch_statements(None)

    @contextmanager
    def _watch(self, text: str) -> Iterator[None]:
        self.statements += 1
        yield

    def _execute(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self.statements += 1
        return execute(*arguments)


def _processor_seconds(pid: int) -> float:
    """Return the user and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


BENCHMARK = Benchmark(
    name="alerts",
    title="Evaluation of alerts",
    parts=(Part("turns", 3.0, measure_turns),),
    method="One process evaluates the rules every five seconds, as one of the dispatchers does. The rollups and gauges "
    "hold minutes of each queue, tenant and kind; one queue and one tenant in twenty fails beyond the thresholds. The "
    "self-diagnosis and all other measures are read at their intervals. Statements are those of the process, without "
    "the beginnings and ends of transactions.",
)
