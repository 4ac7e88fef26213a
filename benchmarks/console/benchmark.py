"""The console benchmark over a million jobs, while jobs are written and run; then a sample of every page.

To add a row, write a function that returns its `Finding` and name it in `ROWS`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from benchmarks.console import volume
from benchmarks.console.pages import BOUND, measure_viewers, take_sample
from benchmarks.harness.filling import analyse, run_statement
from benchmarks.harness.jobs import count_waiting
from benchmarks.harness.parts import Benchmark, Finding, MeasureFailedError, Part, at_most, shown
from benchmarks.harness.processes import wait_on_platform
from benchmarks.harness.writing import writing
from jobsplatform.demo.measures import percentile
from jobsplatform.demo.processes import running_platform
from jobsplatform.preloading import preload_web
from scheduling.models import CFSPlan, DeadLetter, Job
from scheduling.stops.pauses import pause_kind
from tenants.context import acting_as, all_tenants, command_actor

ROUNDS, WARM_UP = 30, 3
JOBS_A_SECOND = 200
# Waiting jobs of these kinds stay as a backlog; the others run before the measurement.
PAUSED_KINDS, REST_SECONDS = ("sleep", "document_indexing"), 300.0
ATTEMPTS, STATEMENTS, KIBIBYTES = 50, 12, 150
JOB_TABLES = re.compile(r"scheduling_(job\w*|execution\w*|deadletter|charge|batch\w*)\b", re.IGNORECASE)
PAGE_MS, LOOK_UP_MS, DETAIL_MS, WHAT_IF_MS = 150.0, 60.0, 120.0, 300.0
JOBS_PAGE = "/admin/scheduling/job/"
# Jobs by any filter, and deep in the list.
LISTS = ("", "?state=discarded", "?state=available", "?state=completed&kind=noop", "?tenant=volume-7", "?before={deep}")

# More attempts of a job, as settlement leaves them.
_ATTEMPTS = """
INSERT INTO scheduling_execution (id, tenant_id, job_id, queue_id, kind, number, fence, worker_id, outcome,
    predicted_us, measured_us, dispatched_at, started_at, ended_at, error_type, error_message, traceback)
SELECT uuidv7(j.finished_at - now() + make_interval(secs => n)), j.tenant_id, j.id, j.queue_id, j.kind, n, n, NULL,
    'failed', 1000000, 1000000, j.created_at, j.created_at, j.finished_at, 'ParseError', 'It cannot be read.', ''
FROM scheduling_job j CROSS JOIN generate_series(2, %(attempts)s) AS n WHERE j.id = %(job)s
"""


@dataclass(frozen=True, slots=True)
class Desk:
    """A client of platform staff, the job with many attempts, and the port of the web server beside it."""

    client: Client
    busy_job: Job
    port: int

    def p95(self, path: str, body: dict[str, Any] | None = None) -> float:
        """Return the 95th percentile of the page's duration in milliseconds."""
        times = []
        for number in range(WARM_UP + ROUNDS):
            begun = time.perf_counter()
            answer = self.client.get(path) if body is None else self.client.post(path, body)
            taken = (time.perf_counter() - begun) * 1e3
            if answer.status_code != 200:
                raise MeasureFailedError(f"{path} answered {answer.status_code}")
            if number >= WARM_UP:
                times.append(taken)
        return percentile(times, 0.95)


def measure_console(folder: Path) -> list[Finding]:
    """Fill the database, start the platform and the writer, and request everything."""
    jobs = int(os.environ.get("CONSOLE_JOBS", volume.JOBS))
    busiest = volume.fill(jobs=jobs)
    busy_job = _try_often()
    analyse()
    preload_web()
    client = Client(headers={"host": "localhost"})
    client.force_login(get_user_model().objects.create_superuser("console-staff"))
    slugs = [f"volume-{number}" for number in range(20)]
    with acting_as(command_actor("benchmark")):
        for kind in PAUSED_KINDS:
            pause_kind(kind=kind, reason="benchmark")
    with running_platform(folder / "console.log") as platform, writing(JOBS_A_SECOND, slugs) as read_rate:
        # All jobs that may run have run and the paused ones are held: then as many are ready as are written.
        rests = lambda: count_waiting() <= JOBS_A_SECOND  # noqa: E731
        wait_on_platform(platform, rests, within=REST_SECONDS, what="the backlog rests")
        desk = Desk(client, busy_job, int(platform.address.rpartition(":")[2]))
        findings = [finding for measured in ROWS for finding in measured(desk)]
        rate = read_rate()
        platform.require_alive()
    analyse()
    words = f"over {jobs:,} jobs of {volume.TENANTS} tenants, with four events per job"
    written = shown("jobs written per second meanwhile", f"{rate:.0f} of {JOBS_A_SECOND}", words)
    return [*findings, written, *take_sample(busiest)]


def _try_often() -> Job:
    with all_tenants():
        letter = DeadLetter.objects.latest("id")
        job = Job.objects.get(pk=letter.job_id)
    run_statement(_ATTEMPTS, {"job": job.pk, "attempts": ATTEMPTS})
    return job


def overview_rows(desk: Desk) -> Sequence[Finding]:
    """Measure the overview: its duration, its statements and its size."""
    p95 = desk.p95("/admin/")
    with CaptureQueriesContext(connection) as queries:
        answer = desk.client.get("/admin/")
    texts = [str(query["sql"]) for query in queries]
    asked = [text for text in texts if re.search(r"\b(FROM|INTO|UPDATE)\b", text)]
    on_jobs = sum(bool(JOB_TABLES.search(text)) for text in asked)
    return [
        at_most("Overview, server p95", p95, PAGE_MS, ".0f ms"),
        Finding(
            "Overview, statements",
            f"≤ {STATEMENTS}, none on jobs",
            f"{len(asked)}, {on_jobs} on jobs",
            len(asked) <= STATEMENTS and not on_jobs,
        ),
        at_most("Overview, HTML", len(answer.content) / 1024, KIBIBYTES, ".0f KiB"),
    ]


def fragment_rows(desk: Desk) -> Sequence[Finding]:
    """Measure the polled fragments of the overview: with many viewers, and the time to render one."""
    polled = measure_viewers(desk.port)
    with override_settings(JOBS_PLATFORM=settings.JOBS_PLATFORM | {"CONFIGURATION_CACHE_SECONDS": 0}):
        drawn = [(path, desk.p95(f"/admin/{path}")) for path in BOUND]
    return polled + [shown(f"Fragment `{path}`, drawn per request, p95", f"{p95:.0f} ms") for path, p95 in drawn]


def list_rows(desk: Desk) -> Sequence[Finding]:
    """Measure the list of jobs by any filter and at any depth."""
    with all_tenants():
        deep = Job.objects.order_by("id").values_list("id", flat=True)[50_000:50_001].get()
    p95, query = max((desk.p95(f"{JOBS_PAGE}{query.format(deep=deep)}"), query) for query in LISTS)
    return [at_most(f"Jobs, worst p95 of {len(LISTS)} (`{query or 'no filter'}`)", p95, PAGE_MS, ".0f ms")]


def job_rows(desk: Desk) -> Sequence[Finding]:
    """Measure the look-up of a job by its id, and its own page."""
    job_id = desk.busy_job.pk
    detail = f"{JOBS_PAGE}{job_id}/change/"
    return [
        at_most("Look-up by id, p95", desk.p95(f"{JOBS_PAGE}?q={job_id}"), LOOK_UP_MS, ".0f ms"),
        at_most(f"Job detail with {ATTEMPTS} attempts, p95", desk.p95(detail), DETAIL_MS, ".0f ms"),
    ]


def what_if_rows(desk: Desk) -> Sequence[Finding]:
    """Measure the preview of another CFS plan."""
    with all_tenants():
        plan = CFSPlan.objects.get(is_active=True).pk
    path = f"/admin/scheduling/cfsplan/{plan}/what-if/"
    rows = [at_most("What-if while a form is edited, p95", desk.p95(path, {}), WHAT_IF_MS, ".0f ms")]
    with override_settings(JOBS_PLATFORM=settings.JOBS_PLATFORM | {"CONFIGURATION_CACHE_SECONDS": 0}):
        return [*rows, at_most("What-if, first question, p95", desk.p95(path, {}), WHAT_IF_MS, ".0f ms")]


ROWS: tuple[Callable[[Desk], Sequence[Finding]], ...]
ROWS = (overview_rows, fragment_rows, list_rows, job_rows, what_if_rows)
BENCHMARK = Benchmark(
    name="console",
    title="The console over a million jobs",
    parts=(Part("pages", 21.0, measure_console),),
    method=f"Each page is requested {ROUNDS} times after {WARM_UP} to warm up, one at a time, through Django's whole "
    "stack in one process by a superuser. Beside it, on the same cores, run web server, dispatcher, worker and beat, "
    "and a process that writes jobs, which the worker runs. Of the waiting jobs those of paused kinds stay; the others "
    "have run before anything is measured. Viewers poll the parts of the first page as its tabs do, through that web "
    "server; “drawn per request” is what a part takes in one process without what is kept of it. The jobs of a what-if "
    "are cached for a moment; “first question” is what it takes without the cache.",
)
