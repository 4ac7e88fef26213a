"""The console over a million jobs, while jobs are written and the platform works; then a sample of every page.

To add a row, write a function that returns its `Finding` and name it in `ROWS`.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from benchmarks import volume
from benchmarks.harness.filling import analyse, ask, run_statement
from benchmarks.harness.parts import NO_TARGET, Benchmark, Finding, Part
from benchmarks.harness.web import serving_streams
from benchmarks.harness.writing import writing
from benchmarks.pages import take_sample
from jobsplatform.demo.measures import percentile
from jobsplatform.demo.processes import running_platform
from jobsplatform.preloading import preload_web
from scheduling.models import CFSPlan, DeadLetter, Job
from scheduling.services.pauses import pause_kind
from tenants.context import acting_as, all_tenants, command_actor

ROUNDS, WARM_UP = 30, 3
# A tab asks every five seconds and more; it takes as long with less patience.
POLL_SECONDS = 2.2
JOBS_A_SECOND = 200
# Of the jobs that wait these stay, as a backlog does; the others run before anything is measured.
PAUSED_KINDS, REST_SECONDS = ("sleep", "document_indexing"), 300.0
ATTEMPTS = 50
STATEMENTS, KIBIBYTES = 12, 150
JOB_TABLES = re.compile(r"scheduling_(job\w*|execution\w*|deadletter|charge|batch\w*)\b", re.IGNORECASE)
PAGE_MS, FRAGMENT_MS, LOOK_UP_MS, DETAIL_MS, WHAT_IF_MS = 150.0, 25.0, 60.0, 120.0, 300.0
PARTS, KEPT_PARTS = ("overview/", "overview/shares/", "overview/kinds/"), ("overview/", "overview/shares/")
# Jobs by any filter, and deep in the list.
LISTS = ("", "?state=discarded", "?state=available", "?state=completed&kind=noop", "?tenant=volume-7", "?before={deep}")

# A job that was tried so many times, as settlement leaves it.
_ATTEMPTS = """
INSERT INTO scheduling_execution (id, tenant_id, job_id, queue_id, kind, number, fence, worker_id, outcome,
    predicted_us, measured_us, dispatched_at, started_at, ended_at, error_type, error_message, traceback)
SELECT uuidv7(j.finished_at - now() + make_interval(secs => n)), j.tenant_id, j.id, j.queue_id, j.kind, n, n, NULL,
    'failed', 1000000, 1000000, j.created_at, j.created_at, j.finished_at, 'ParseError', 'It cannot be read.', ''
FROM scheduling_job j CROSS JOIN generate_series(2, %(attempts)s) AS n WHERE j.id = %(job)s
"""


@dataclass(frozen=True, slots=True)
class Desk:
    """Somebody of the platform who asks, and the job with many attempts."""

    client: Client
    busy_job: Job
    folder: Path

    def times(self, path: str, body: dict[str, Any] | None = None) -> list[float]:
        """How long the page took each time, in milliseconds."""
        times = []
        for number in range(WARM_UP + ROUNDS):
            begun = time.perf_counter()
            answer = self.client.get(path) if body is None else self.client.post(path, body)
            taken = (time.perf_counter() - begun) * 1e3
            if answer.status_code != 200:
                raise RuntimeError(f"{path} answered {answer.status_code}")
            if number >= WARM_UP:
                times.append(taken)
        return times

    def polls(self, path: str) -> list[float]:
        """How long the page took each time, asked for so seldom that what was kept for others is over."""
        times = []
        for number in range(WARM_UP + ROUNDS):
            time.sleep(POLL_SECONDS)
            begun = time.perf_counter()
            answer = self.client.get(path)
            if answer.status_code != 200:
                raise RuntimeError(f"{path} answered {answer.status_code}")
            if number >= WARM_UP:
                times.append((time.perf_counter() - begun) * 1e3)
        return times

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Somebody has the first page open, with its stream."""
        cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in self.client.cookies.items())
        headers = {"host": "localhost", "cookie": cookie}
        with serving_streams(self.folder) as server:
            url = f"http://127.0.0.1:{server.port}/admin/overview/stream/"
            is_over, has_begun = threading.Event(), threading.Event()

            def listen() -> None:
                with httpx.stream("GET", url, headers=headers, timeout=30.0) as answer:
                    for line in answer.iter_lines():
                        if line.startswith("event: numbers"):
                            has_begun.set()
                        if is_over.is_set():
                            return

            listener = threading.Thread(target=listen)
            listener.start()
            try:
                if not has_begun.wait(30.0):
                    raise RuntimeError("The stream tells no numbers.")
                yield
            finally:
                is_over.set()
                listener.join()

    def worst(self, *paths: str) -> tuple[str, float]:
        """The slowest of several pages with its p95."""
        found = {path: percentile(self.times(path), 0.95) for path in paths}
        return max(found.items(), key=lambda item: item[1])


def measure_console(folder: Path) -> list[Finding]:
    """Fill the database, start the platform and the writer, and request everything."""
    made = volume.fill(jobs=int(os.environ.get("CONSOLE_JOBS", volume.JOBS)))
    busy_job = _try_often()
    analyse()
    preload_web()
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.create_superuser("console-staff"))
    desk = Desk(client, busy_job, folder)
    slugs = [f"volume-{number}" for number in range(20)]
    with acting_as(command_actor("benchmark")):
        for kind in PAUSED_KINDS:
            pause_kind(kind=kind, reason="benchmark")
    with running_platform(folder / "console.log") as platform, writing(JOBS_A_SECOND, slugs, folder) as writer:
        _wait_until_backlog_rests()
        findings = [finding for measured in ROWS for finding in measured(desk)]
        rate = writer.rate()
        platform.require_alive()
    analyse()
    written = Finding(
        what="jobs written per second meanwhile",
        target=NO_TARGET,
        measured=f"{rate:.0f} of {JOBS_A_SECOND}",
        is_met=True,
        beside=f"over {made.jobs:,} jobs of {made.tenants} tenants, with two events per job",
    )
    return [*findings, written, *take_sample(made.busiest).findings]


def _wait_until_backlog_rests() -> None:
    """Until what may run of the jobs that wait has run, and the rest is set aside: then it is by the writer's rate."""
    until = time.monotonic() + REST_SECONDS
    while ask("SELECT count(*) FROM scheduling_job_ready") > JOBS_A_SECOND:
        if time.monotonic() > until:
            raise RuntimeError("The backlog does not come to rest.")
        time.sleep(0.5)


def _try_often() -> Job:
    with all_tenants():
        letter = DeadLetter.objects.latest("id")
        job = Job.objects.get(pk=letter.job_id)
    run_statement(_ATTEMPTS, {"job": job.pk, "attempts": ATTEMPTS})
    return job


def overview_rows(desk: Desk) -> Sequence[Finding]:
    """The first page: how long, how much it asks, how long it is."""
    p95 = percentile(desk.times("/admin/"), 0.95)
    with CaptureQueriesContext(connection) as queries:
        answer = desk.client.get("/admin/")
    texts = [str(query["sql"]) for query in queries]
    asked = [text for text in texts if re.search(r"\b(FROM|INTO|UPDATE)\b", text)]
    on_jobs = sum(bool(JOB_TABLES.search(text)) for text in asked)
    size = len(answer.content) / 1024
    return [
        _timed("Overview, server p95", p95, PAGE_MS),
        Finding(
            "Overview, statements",
            f"≤ {STATEMENTS}, none on jobs",
            f"{len(asked)}, {on_jobs} on jobs",
            len(asked) <= STATEMENTS and not on_jobs,
        ),
        Finding("Overview, HTML", f"≤ {KIBIBYTES} KiB", f"{size:.0f} KiB", size <= KIBIBYTES),
    ]


def fragment_rows(desk: Desk) -> Sequence[Finding]:
    """The parts of the first page that a tab asks for again, and what each takes where no stream has drawn it."""
    with desk.looking():
        asked = [(part, percentile(desk.polls(f"/admin/{part}"), 0.95)) for part in PARTS]
    rows = [_timed(f"Fragment `{part}`, p95", p95, FRAGMENT_MS) for part, p95 in asked]
    with override_settings(CONFIGURATION_CACHE_SECONDS=0):
        drawn = [(part, desk.worst(f"/admin/{part}")[1]) for part in KEPT_PARTS]
    return [
        *rows,
        *(
            Finding(f"Fragment `{part}`, drawn per request, p95", NO_TARGET, f"{p95:.0f} ms", is_met=True)
            for part, p95 in drawn
        ),
    ]


def list_rows(desk: Desk) -> Sequence[Finding]:
    """The list of jobs by any filter and at any depth."""
    with all_tenants():
        deep = Job.objects.order_by("id").values_list("id", flat=True)[50_000:50_001].get()
    path, p95 = desk.worst(*(f"/admin/scheduling/job/{query.format(deep=deep)}" for query in LISTS))
    shown = path.removeprefix("/admin/scheduling/job/").replace(str(deep), "…") or "no filter"
    return [_timed(f"Jobs, worst p95 of {len(LISTS)} (`{shown}`)", p95, PAGE_MS)]


def job_rows(desk: Desk) -> Sequence[Finding]:
    """Finding one job by its id, and its own page."""
    job_id = desk.busy_job.pk
    return [
        _timed("Look-up by id, p95", desk.worst(f"/admin/scheduling/job/?q={job_id}")[1], LOOK_UP_MS),
        _timed(
            f"Job detail with {ATTEMPTS} attempts, p95",
            desk.worst(f"/admin/scheduling/job/{job_id}/change/")[1],
            DETAIL_MS,
        ),
    ]


def what_if_rows(desk: Desk) -> Sequence[Finding]:
    """What another plan would do."""
    with all_tenants():
        plan = CFSPlan.objects.get(is_active=True).pk
    path = f"/admin/scheduling/cfsplan/{plan}/what-if/"
    rows = [_timed("What-if while somebody types, p95", percentile(desk.times(path, {}), 0.95), WHAT_IF_MS)]
    with override_settings(CONFIGURATION_CACHE_SECONDS=0):
        first = percentile(desk.times(path, {}), 0.95)
    return [*rows, _timed("What-if, first question, p95", first, WHAT_IF_MS)]


ROWS: tuple[Callable[[Desk], Sequence[Finding]], ...] = (
    overview_rows,
    fragment_rows,
    list_rows,
    job_rows,
    what_if_rows,
)


def _timed(what: str, p95: float, limit_ms: float) -> Finding:
    return Finding(what, f"≤ {limit_ms:.0f} ms", f"{p95:.0f} ms", p95 <= limit_ms)


BENCHMARK = Benchmark(
    name="console",
    title="The console over a million jobs",
    parts=(Part("pages", 20.0, measure_console),),
    method=f"Each page is requested {ROUNDS} times after {WARM_UP} to warm up, one at a time, through Django's whole "
    "stack in one process by a superuser. Beside it, on the same cores, run web server, dispatcher, worker and beat, "
    "and a process that writes jobs, which the worker runs. Of the waiting jobs those of paused kinds stay; the others "
    f"have run before anything is measured. Fragments are requested every {POLL_SECONDS:g} s while a tab has the "
    "page's stream open, whose reader draws two of them; “drawn per request” is what these take without a stream. "
    "The jobs of a what-if are cached for a moment; “first question” is what it takes without the cache.",
)
