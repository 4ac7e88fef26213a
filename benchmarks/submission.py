"""How many jobs a second are accepted: by the service in bulks, by HTTP in bulks, and by HTTP one by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.fair.filling import analyse, ask, clear_platform
from benchmarks.fair.processes import Processes
from benchmarks.outcome import Outcome
from benchmarks.processor import seconds_of_family, seconds_of_postgresql
from benchmarks.submitters import KEY_MARK, ROOT, Submitted, Submitter, run_together
from benchmarks.verifying import COMMAND, verify_platform
from jobsplatform.demo.processes import HOST, free_port
from jobsplatform.demo.provision import ACTOR
from scheduling.observability.metrics import MULTIPROCESS_VARIABLE
from tenants.context import acting_as, all_tenants
from tenants.models import Plan, PlanLimit
from tenants.permissions import DEVELOPER_KEY_SCOPES
from tenants.services.api_keys import issue_api_key
from tenants.services.tenants import create_tenant

BULK = 1_000
SECONDS = float(os.environ.get("BENCH_SUBMISSION_SECONDS", "15"))
SERVICE_JOBS = int(os.environ.get("BENCH_SUBMISSION_JOBS", "60000"))
TENANTS, BULK_CONNECTIONS, SINGLE_CONNECTIONS = 4, 4, 8
# As deploy/ starts it.
WEB_WORKERS, WEB_THREADS = 2, 8
SERVICE_TARGET, BULK_TARGET, SINGLE_TARGET = 10_000, 3_000, 600
MINIMAL, NEW_KEY = {"Prefer": "return=minimal"}, {"Idempotency-Key": KEY_MARK.decode()}
SINGLE = (
    ("HTTP, one by one, the job answered whole", {}),
    ("HTTP, one by one, `Prefer: return=minimal`", MINIMAL),
    ("HTTP, one by one, the same with idempotency keys", MINIMAL | NEW_KEY),
)
READY_SECONDS = 60.0
UNLIMITED = 10**9
_NEWS = "SELECT count(*) FROM scheduling_wake"


@dataclass(frozen=True, slots=True)
class Rate:
    """Jobs a second, and microseconds of a processor for each: of who serves, of PostgreSQL, of who asks."""

    what: str
    target: int
    jobs_a_second: float
    serving_us: float
    server_us: float
    asking_us: float

    @property
    def is_met(self) -> bool:
        return self.jobs_a_second >= self.target

    @property
    def row(self) -> list[str]:
        spent = [f"{value:,.0f}" for value in (self.serving_us, self.server_us, self.asking_us)]
        return [self.what, f"≥ {self.target:,}", f"{self.jobs_a_second:,.0f}", *spent, "yes" if self.is_met else "no"]


@dataclass(frozen=True, slots=True)
class Caller:
    """A tenant of the benchmark and a key of its own."""

    slug: str
    token: str


def measure(folder: Path) -> Outcome:
    """Each way for itself, on a platform that begins empty, whose dispatcher has no slots to fill."""
    clear_platform()
    callers = _callers()
    with _dispatcher(folder) as dispatcher, _web(folder) as (port, pid):
        rates = [_by_service(callers[:count]) for count in (1, 2)]
        bulks = [_bulk_request(caller, port) for caller in callers]
        rates.append(_by_http("HTTP, bulks of 1,000", BULK_TARGET, bulks, (port, pid), folder, count=BULK_CONNECTIONS))
        for what, headers in SINGLE:
            requests = [_single_request(caller, port, headers) for caller in callers]
            rates.append(_by_http(what, SINGLE_TARGET, requests, (port, pid), folder, count=SINGLE_CONNECTIONS))
        dispatcher.wait_until(lambda: ask(_NEWS) == 0, within=READY_SECONDS, what="all news are folded")
    verify_platform()
    return Outcome(
        name="submission",
        reproduce=f"BENCH_SUBMISSION_SECONDS={SECONDS:g} BENCH_SUBMISSION_JOBS={SERVICE_JOBS} "
        "make bench BENCH=submission",
        title="Jobs a second that are accepted",
        rows=[
            ["how", "target, jobs/s", "jobs/s", "serving, µs a job", "PostgreSQL, µs a job", "client, µs a job", "met"],
            *(rate.row for rate in rates),
        ],
        target=f"{SERVICE_TARGET:,} by the service, {BULK_TARGET:,} by HTTP in bulks, {SINGLE_TARGET} one by one",
        # One process that submits uses one processor, and another in PostgreSQL.
        is_met=all(rate.is_met for rate in rates[1:]),
        method=f"`sleep` jobs of {TENANTS} tenants; each is validated, counted against the tenant's rate, quotas and "
        "limits, and stored with its event, its place in line, the news for the dispatcher and an audit entry, by the "
        "restricted role under row security, `synchronous_commit` on. The service: `submit_jobs` in one process, and in"
        f" two at once. HTTP: gunicorn with {WEB_WORKERS} processes of {WEB_THREADS} threads and the log of requests, "
        f"as `deploy/` starts it; one client process with {BULK_CONNECTIONS} connections for bulks and "
        f"{SINGLE_CONNECTIONS} for single jobs, kept alive, each of which sends when it was answered, over "
        f"{SECONDS:.0f} s. A dispatcher folds the news meanwhile, and there is no slot to hand anything to. "
        f"`{COMMAND}` is clean afterwards.",
    )


def _callers() -> list[Caller]:
    with all_tenants():
        Plan.objects.update(max_waiting_jobs=UNLIMITED, submits_per_minute=UNLIMITED)
        for plan in Plan.objects.all():
            PlanLimit.objects.update_or_create(plan=plan, key="submit_burst", defaults={"value": UNLIMITED})
    with acting_as(ACTOR):
        tenants = [create_tenant(slug=f"submits-{number}-{os.getpid()}", plan="team") for number in range(TENANTS)]
        return [
            Caller(tenant.slug, issue_api_key(tenant=tenant, name="bench", scopes=DEVELOPER_KEY_SCOPES).token)
            for tenant in tenants
        ]


def _by_service(callers: Sequence[Caller]) -> Rate:
    share = SERVICE_JOBS // len(callers)
    submitters = [Submitter("service", str(share), str(BULK), caller.slug) for caller in callers]
    analyse()
    server = seconds_of_postgresql()
    done = run_together(submitters)
    server = seconds_of_postgresql() - server
    processes = "one process" if len(callers) == 1 else f"{len(callers)} processes"
    return _rate(f"service, bulks of {BULK:,}, {processes}", SERVICE_TARGET, done, serving=0.0, server=server)


def _by_http(
    what: str, target: int, requests: Sequence[tuple[str, int]], web: tuple[int, int], folder: Path, *, count: int
) -> Rate:
    port, pid = web
    plan = folder / "requests.json"
    connections = [[requests[number % len(requests)]] for number in range(count)]
    document = {"host": HOST, "port": port, "name": f"{time.time():.0f}", "connections": connections}
    plan.write_text(json.dumps(document), encoding="utf-8")
    run_together([Submitter("http", "2", str(plan))])
    plan.write_text(json.dumps(document | {"name": f"{time.time():.0f}+"}), encoding="utf-8")
    analyse()
    submitter = Submitter("http", str(SECONDS), str(plan))
    before = seconds_of_family(pid), seconds_of_postgresql()
    done = run_together([submitter])
    serving, server = (
        after - then for after, then in zip((seconds_of_family(pid), seconds_of_postgresql()), before, strict=True)
    )
    return _rate(what, target, done, serving=serving, server=server)


def _rate(what: str, target: int, done: Sequence[Submitted], *, serving: float, server: float) -> Rate:
    jobs = sum(one.jobs for one in done)
    took = max(one.ended for one in done) - min(one.began for one in done)
    asking = sum(one.processor for one in done)
    if not serving:
        # Who asks the service is who serves.
        serving, asking = asking, 0.0
    return Rate(what, target, jobs / took, *(spent / jobs * 1e6 for spent in (serving, server, asking)))


def _bulk_request(caller: Caller, port: int) -> tuple[str, int]:
    jobs = [{"kind": "sleep", "payload": {"seconds": 0.01}} for _ in range(BULK)]
    return _request(caller, port, "/api/v1/jobs/bulk/", {"jobs": jobs}), BULK


def _single_request(caller: Caller, port: int, headers: dict[str, str]) -> tuple[str, int]:
    body = {"kind": "sleep", "payload": {"seconds": 0.01}}
    return _request(caller, port, "/api/v1/jobs/", body, headers), 1


def _request(caller: Caller, port: int, path: str, body: object, headers: dict[str, str] | None = None) -> str:
    text = json.dumps(body)
    lines = {
        "Host": f"{HOST}:{port}",
        "Authorization": f"Api-Key {caller.token}",
        "Content-Type": "application/json",
        "Content-Length": str(len(text)),
        **(headers or {}),
    }
    return "\r\n".join([f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items()), "", text])


@contextmanager
def _web(folder: Path) -> Iterator[tuple[int, int]]:
    """The port and the process of a web server as `deploy/` starts it, once it answers."""
    port = free_port()
    command = ["gunicorn", f"--bind={HOST}:{port}", f"--workers={WEB_WORKERS}"]
    options = [f"--threads={WEB_THREADS}", "jobsplatform.wsgi"]
    counters = folder / "web-counters"
    counters.mkdir()
    with (folder / "web.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", *command, *options],
            cwd=ROOT,
            env={**os.environ, MULTIPROCESS_VARIABLE: str(counters)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        until = time.monotonic() + READY_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((folder / "web.log").read_text(encoding="utf-8")[-2_000:])
            time.sleep(0.1)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _dispatcher(folder: Path) -> Iterator[Processes]:
    """One that has no slots to fill: it folds the news of what is submitted, as it does in production."""
    processes = Processes(folder)
    try:
        processes.start_dispatcher()
        yield processes
    finally:
        processes.stop()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://{HOST}:{port}/health/live", timeout=5).is_success
    except httpx.TransportError:
        return False
