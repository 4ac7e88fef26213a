"""Jobs per second that are accepted: by the service in bulks, by HTTP in bulks, and by HTTP one by one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.capacity.submitters import KEY_MARK, Submitted, Submitter, run_together
from benchmarks.harness.filling import analyse, ask
from benchmarks.harness.parts import NO_TARGET, Finding
from benchmarks.harness.processes import Processes
from benchmarks.harness.processor import seconds_of_family, seconds_of_postgresql
from benchmarks.harness.verifying import verify_platform
from benchmarks.harness.web import WEB_THREADS, WEB_WORKERS, WebServer, serving_web
from jobsplatform.demo.processes import HOST
from jobsplatform.demo.provision import ACTOR
from tenants.context import acting_as, all_tenants
from tenants.models import Plan, PlanLimit
from tenants.permissions import DEVELOPER_KEY_SCOPES
from tenants.services.api_keys import issue_api_key
from tenants.services.tenants import create_tenant

BULK = 1_000
SECONDS, SERVICE_JOBS = 15.0, 60_000
TENANTS, BULK_CONNECTIONS, SINGLE_CONNECTIONS = 4, 4, 8
SERVICE_TARGET, BULK_TARGET, SINGLE_TARGET = 10_000, 3_000, 600
MINIMAL, NEW_KEY = {"Prefer": "return=minimal"}, {"Idempotency-Key": KEY_MARK.decode()}
SINGLE = (
    ("HTTP, one by one, the default answer", {}),
    ("HTTP, one by one, `Prefer: return=minimal`", MINIMAL),
    ("HTTP, one by one, the same with idempotency keys", MINIMAL | NEW_KEY),
)
READY_SECONDS = 60.0
UNLIMITED = 10**9
_NEWS = "SELECT count(*) FROM scheduling_wake"
_EACH = (
    f"`sleep` jobs of {TENANTS} tenants; each is validated, counted against the tenant's rate, quotas and limits, and "
    "stored with its event, its place in line, the news for the dispatcher and an audit entry, by the restricted role "
    "under row security, `synchronous_commit` on; a dispatcher without slots folds the news meanwhile"
)
_HTTP = (
    f"gunicorn with {WEB_WORKERS} processes of {WEB_THREADS} threads and the log of requests, as `deploy/` starts it; "
    f"one client process with {{connections}} connections, kept alive, each of which sends when it was answered, over "
    f"{SECONDS:.0f} s"
)


@dataclass(frozen=True, slots=True)
class Rate:
    """Jobs per second, and microseconds of a processor per job: of the serving process, PostgreSQL and the client."""

    how: str
    target: int | None
    jobs_a_second: float
    serving_us: float
    server_us: float
    client_us: float
    words: str

    @property
    def finding(self) -> Finding:
        spent = (
            f"serving {self.serving_us:,.0f} + PostgreSQL {self.server_us:,.0f} + client {self.client_us:,.0f} µs of "
            "processor time per job"
        )
        return Finding(
            what=f"jobs submitted per second: {self.how}",
            target=NO_TARGET if self.target is None else f"≥ {self.target:,}",
            measured=f"{self.jobs_a_second:,.0f}",
            is_met=self.target is None or self.jobs_a_second >= self.target,
            beside=f"{spent}; {self.words}",
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """A tenant of the benchmark and a key of its own."""

    slug: str
    token: str


def measure_submission(folder: Path) -> list[Finding]:
    """Measure each way for itself, with a dispatcher that has no slots to fill."""
    callers = _callers()
    with _dispatcher(folder) as dispatcher, serving_web(folder) as web:
        # One process that submits uses one processor, and another in PostgreSQL: it has no target.
        rates = [_by_service(callers[:1], None), _by_service(callers[:2], SERVICE_TARGET)]
        bulks = [_bulk_request(caller, web.port) for caller in callers]
        rates.append(_by_http("HTTP, bulks of 1,000", BULK_TARGET, bulks, web, folder, count=BULK_CONNECTIONS))
        for how, headers in SINGLE:
            requests = [_single_request(caller, web.port, headers) for caller in callers]
            rates.append(_by_http(how, SINGLE_TARGET, requests, web, folder, count=SINGLE_CONNECTIONS))
        dispatcher.wait_until(lambda: ask(_NEWS) == 0, within=READY_SECONDS, what="all news are folded")
    verify_platform()
    return [rate.finding for rate in rates]


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


def _by_service(callers: Sequence[Caller], target: int | None) -> Rate:
    share = SERVICE_JOBS // len(callers)
    submitters = [Submitter("service", str(share), str(BULK), caller.slug) for caller in callers]
    analyse()
    server = seconds_of_postgresql()
    done = run_together(submitters)
    server = seconds_of_postgresql() - server
    processes = "one process" if len(callers) == 1 else f"{len(callers)} processes"
    how = f"service, bulks of {BULK:,}, {processes}"
    return _rate(how, target, done, serving=None, server=server, words=_EACH)


def _by_http(
    how: str, target: int, requests: Sequence[tuple[str, int]], web: WebServer, folder: Path, *, count: int
) -> Rate:
    plan = folder / "requests.json"
    connections = [[requests[number % len(requests)]] for number in range(count)]
    document = {"host": HOST, "port": web.port, "name": f"{time.time():.0f}", "connections": connections}
    plan.write_text(json.dumps(document), encoding="utf-8")
    run_together([Submitter("http", "2", str(plan))])
    plan.write_text(json.dumps(document | {"name": f"{time.time():.0f}+"}), encoding="utf-8")
    analyse()
    submitter = Submitter("http", str(SECONDS), str(plan))
    serving, server = seconds_of_family(web.pid), seconds_of_postgresql()
    done = run_together([submitter])
    serving, server = seconds_of_family(web.pid) - serving, seconds_of_postgresql() - server
    words = _HTTP.format(connections=count)
    return _rate(how, target, done, serving=serving, server=server, words=words)


def _rate(
    how: str, target: int | None, done: Sequence[Submitted], *, serving: float | None, server: float, words: str
) -> Rate:
    """Return the rate of processes that submitted together; without a server the submitting process is who serves."""
    jobs = sum(one.jobs for one in done)
    took = max(one.ended for one in done) - min(one.began for one in done)
    submitting = sum(one.processor for one in done)
    spent = (submitting, server, 0.0) if serving is None else (serving, server, submitting)
    serving_us, server_us, client_us = (seconds / jobs * 1e6 for seconds in spent)
    return Rate(how, target, jobs / took, serving_us, server_us, client_us, words)


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
def _dispatcher(folder: Path) -> Iterator[Processes]:
    """Start a dispatcher that has no slots to fill: it folds the news of what is submitted, as in production."""
    processes = Processes(folder)
    try:
        processes.start_dispatcher()
        yield processes
    finally:
        processes.stop()
