"""Jobs per second that are accepted: by the service in bulks, by HTTP in bulks, and by HTTP one by one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from subprocess import Popen
from typing import Any

import django
import httpx

from benchmarks.harness.filling import analyse, ask
from benchmarks.harness.jobs import verify_platform
from benchmarks.harness.parts import Finding, at_least, shown
from benchmarks.harness.processes import Processes, seconds_of_family, seconds_of_postgresql
from jobsplatform.demo.processes import HOST, free_port
from jobsplatform.demo.provision import ACTOR
from scheduling.observability.metrics import MULTIPROCESS_VARIABLE
from scheduling.services.job_requests import JobRequest
from scheduling.services.submission import submit_jobs
from tenants.context import acting_as, all_tenants
from tenants.models import Plan, PlanLimit, Tenant
from tenants.permissions import DEVELOPER_KEY_SCOPES
from tenants.services.api_keys import issue_api_key
from tenants.services.tenants import create_tenant

# An idempotency key must be new each time; its place in the request.
KEY_MARK = b"{{idempotency-key}}"
BULK, PAYLOAD = 1_000, {"seconds": 0.01}


@dataclass(frozen=True, slots=True)
class Submitted:
    """What one process submitted: jobs, times by the clock, and seconds of a processor."""

    jobs: int
    began: float
    ended: float
    processor: float


@contextmanager
def submitting(
    submit: Callable[..., int], arguments: Sequence[tuple[Any, ...]]
) -> Iterator[Callable[[float], list[Submitted]]]:
    """Yield a function that calls ``submit(amount, *arguments)`` in a process for each of the arguments at once."""
    with ExitStack() as stack:
        pools = [
            stack.enter_context(ProcessPoolExecutor(1, get_context("spawn"), django.setup)) for _process in arguments
        ]

        def run(amount: float) -> list[Submitted]:
            running = [pool.submit(_measure, submit, amount, *own) for pool, own in zip(pools, arguments, strict=True)]
            return [one.result() for one in running]

        yield run


def submit_by_service(jobs: float, slug: str) -> int:
    """Submit so many jobs of one tenant in bulks; return how many were accepted."""
    with all_tenants():
        tenant = Tenant.objects.select_related("plan").get(slug=slug)
    accepted = 0
    for _ in range(int(jobs) // BULK):
        requests = [JobRequest(kind="sleep", payload=PAYLOAD) for _ in range(BULK)]
        with acting_as(ACTOR):
            accepted += len(submit_jobs(tenant=tenant, requests=requests, is_rated=True).accepted)
    return accepted


def submit_by_http(seconds: float, host: str, port: int, requests: Sequence[str], jobs: int) -> int:
    """Send each request over and over on a connection of its own; return how many jobs were accepted."""

    async def send_all() -> int:
        until = time.monotonic() + seconds
        sending = [
            _send(host, port, request.encode(), jobs, f"{time.time():.6f}-{number:02d}".encode(), until)
            for number, request in enumerate(requests)
        ]
        return sum(await asyncio.gather(*sending))

    return asyncio.run(send_all())


async def _send(host: str, port: int, request: bytes, jobs: int, key: bytes, until: float) -> int:
    """Send the request again whenever it was answered, with a new key each time."""
    reader, writer = await asyncio.open_connection(host, port)
    accepted = 0
    while time.monotonic() < until:
        writer.write(request.replace(KEY_MARK, b"%s-%07d" % (key, accepted)))
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length_of(head))
        if b" 201 " not in head[:20] or (jobs > 1 and not body.rstrip().endswith(b'"rejected":[]}')):
            raise RuntimeError(f"A submission was refused: {head!r}{body[:2_000]!r}")
        accepted += jobs
    writer.close()
    return accepted


def _length_of(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0])


def _measure(submit: Callable[..., int], amount: float, *arguments: Any) -> Submitted:
    began, processor = time.time(), time.process_time()
    jobs = submit(amount, *arguments)
    return Submitted(jobs, began, time.time(), time.process_time() - processor)


SECONDS, SERVICE_JOBS = 15.0, 60_000
WARM_UP_SECONDS, WARM_UP_JOBS = 2.0, 3 * BULK
TENANTS, BULK_CONNECTIONS, SINGLE_CONNECTIONS = 4, 4, 8
SERVICE_TARGET, BULK_TARGET, SINGLE_TARGET = 10_000, 3_000, 600
MINIMAL, NEW_KEY = {"Prefer": "return=minimal"}, {"Idempotency-Key": KEY_MARK.decode()}
SINGLE = (
    ("HTTP, one by one, the default answer", {}),
    ("HTTP, one by one, `Prefer: return=minimal`", MINIMAL),
    ("HTTP, one by one, the same with idempotency keys", MINIMAL | NEW_KEY),
)
# As deploy/ starts the web server.
WEB_WORKERS, WEB_THREADS = 2, 8
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
class Caller:
    """A tenant of the benchmark with a key of its own, and the web server that it calls."""

    slug: str
    token: str
    web: Popen[bytes]
    port: int

    def request(self, path: str, body: object, headers: Mapping[str, str]) -> str:
        """Return a request as it goes over the wire."""
        text = json.dumps(body)
        lines = {
            "Host": f"{HOST}:{self.port}",
            "Authorization": f"Api-Key {self.token}",
            "Content-Type": "application/json",
            "Content-Length": str(len(text)),
            **headers,
        }
        return "\r\n".join([f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items()), "", text])


def measure_submission(folder: Path) -> list[Finding]:
    """Measure each way alone, with a dispatcher that has no slots to fill and folds the news of submissions."""
    job = {"kind": "sleep", "payload": PAYLOAD}
    with _serving(folder) as (processes, web, port):
        callers = _callers(web, port)
        # One process that submits uses one processor, and another in PostgreSQL: it has no target.
        findings = [_by_service(callers[:1], None), _by_service(callers[:2], SERVICE_TARGET)]
        bulks = [caller.request("/api/v1/jobs/bulk/", {"jobs": [job] * BULK}, {}) for caller in callers]
        findings.append(_by_http("HTTP, bulks of 1,000", BULK_TARGET, callers[0], bulks[:BULK_CONNECTIONS], BULK))
        for how, headers in SINGLE:
            singles = [caller.request("/api/v1/jobs/", job, headers) for caller in callers]
            singles *= SINGLE_CONNECTIONS // TENANTS
            findings.append(_by_http(how, SINGLE_TARGET, callers[0], singles, 1))
        processes.wait_until(lambda: ask(_NEWS) == 0, within=READY_SECONDS, what="all news are folded")
    verify_platform()
    return findings


def _callers(web: Popen[bytes], port: int) -> list[Caller]:
    with all_tenants():
        Plan.objects.update(max_waiting_jobs=UNLIMITED, submits_per_minute=UNLIMITED)
        for plan in Plan.objects.all():
            PlanLimit.objects.update_or_create(plan=plan, key="submit_burst", defaults={"value": UNLIMITED})
    with acting_as(ACTOR):
        tenants = [create_tenant(slug=f"submits-{number}-{os.getpid()}", plan="team") for number in range(TENANTS)]
        keys = [issue_api_key(tenant=tenant, name="bench", scopes=DEVELOPER_KEY_SCOPES) for tenant in tenants]
        return [Caller(tenant.slug, key.token, web, port) for tenant, key in zip(tenants, keys, strict=True)]


def _by_service(callers: Sequence[Caller], target: int | None) -> Finding:
    processes = "one process" if len(callers) == 1 else f"{len(callers)} processes"
    with submitting(submit_by_service, [(caller.slug,) for caller in callers]) as run:
        run(WARM_UP_JOBS)
        done, server, _ = _run(partial(run, SERVICE_JOBS // len(callers)), None)
    how, submitter = f"service, bulks of {BULK:,}, {processes}", sum(one.processor for one in done)
    return _finding(how, target, done, (submitter, server, 0.0), _EACH)


def _by_http(how: str, target: int, caller: Caller, requests: Sequence[str], jobs: int) -> Finding:
    with submitting(submit_by_http, [(HOST, caller.port, requests, jobs)]) as run:
        run(WARM_UP_SECONDS)
        done, server, serving = _run(partial(run, SECONDS), caller.web)
    spent = (serving, server, sum(one.processor for one in done))
    return _finding(how, target, done, spent, _HTTP.format(connections=len(requests)))


def _run(run: Callable[[], list[Submitted]], web: Popen[bytes] | None) -> tuple[list[Submitted], float, float]:
    """Return what was submitted, and the processor seconds of PostgreSQL and of the web server meanwhile."""
    analyse()
    before = seconds_of_postgresql(), seconds_of_family(web.pid) if web else 0.0
    done = run()
    after = seconds_of_postgresql(), seconds_of_family(web.pid) if web else 0.0
    return done, after[0] - before[0], after[1] - before[1]


def _finding(
    how: str, target: int | None, done: Sequence[Submitted], spent: tuple[float, float, float], words: str
) -> Finding:
    """Return the row of processes that submitted together; without a server the submitting process serves."""
    jobs = sum(one.jobs for one in done)
    rate = jobs / (max(one.ended for one in done) - min(one.began for one in done))
    serving, server, client = (seconds / jobs * 1e6 for seconds in spent)
    what = f"jobs submitted per second: {how}"
    beside = (
        f"serving {serving:,.0f} + PostgreSQL {server:,.0f} + client {client:,.0f} µs of processor per job; {words}"
    )
    return shown(what, f"{rate:,.0f}", beside) if target is None else at_least(what, rate, target, ",.0f", beside)


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[Processes, Any, int]]:
    """Start a dispatcher and the web server; yield them and its port once it answers, and stop them."""
    processes, port, counters = Processes(folder), free_port(), folder / "web-counters"
    counters.mkdir()
    command = ["gunicorn", f"--bind={HOST}:{port}", f"--workers={WEB_WORKERS}", f"--threads={WEB_THREADS}"]
    try:
        processes.start_dispatcher()
        web = processes.run(
            [sys.executable, "-m", *command, "jobsplatform.wsgi"],
            log="web",
            environment={MULTIPROCESS_VARIABLE: str(counters)},
        )
        processes.workers.append(web)
        processes.wait_until(partial(_is_answering, port), within=READY_SECONDS, what="the web server answers")
        yield processes, web, port
    finally:
        processes.stop()


def _is_answering(port: int) -> bool:
    try:
        return httpx.get(f"http://{HOST}:{port}/health/live", headers={"Host": "localhost"}, timeout=5).is_success
    except httpx.TransportError:
        return False
